"""The JSON Schemas that other programs rely on, held against real runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from agent.conversation import Conversation
from agent.diagnosis import Choice, Inspection
from agent.inspector import Inspector
from agent.planners import make_planner
from agent.schema import DIALECT, MODELS, file_of, schema_of, text_of
from agent.submission import CHOOSE
from agent.trace import FORMAT, Trace
from agent.wire.dialect import GENERIC
from tests.agent.conftest import ScriptedPlanner, inspected, says, submits

STALE = (
    "run `python -m agent.schema`. If what was valid before is no longer, or a reader of the old schema could not read"
    " the new values, raise agent.schema.VERSION and agent.trace.FORMAT as well"
)
CHOICE = Choice("Is there any defect in the object?", {"A": "No.", "B": "Yes."})


@pytest.fixture(scope="module")
def home(parts: Path) -> Path:
    """The home of the other tests, where the detector of good_1.png may be fitted already."""
    return parts / "home"


def faults(name: str, value: Any) -> list[str]:
    """What the schema that other programs have says against a value."""
    validator = Draft202012Validator(json.loads(file_of(name).read_text(encoding="utf-8")))
    return [f"{error.json_path}: {error.message}" for found in validator.iter_errors(value) for error in leaves(found)]


def leaves(error: ValidationError) -> Iterator[ValidationError]:
    """The errors of the alternatives where there are any, else the error itself."""
    if error.context:
        yield from (leaf for inner in error.context for leaf in leaves(inner))
    else:
        yield error


def record(folder: Path) -> dict[str, Any]:
    saved: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return saved


def lines(folder: Path) -> Iterator[dict[str, Any]]:
    yield from map(json.loads, (folder / "events.jsonl").read_text(encoding="utf-8").splitlines())


def check(folder: Path) -> dict[str, Any]:
    """The run's record, once the record, its steps and its diagnosis were found valid."""
    saved = record(folder)
    assert faults("run", saved) == []
    for line in lines(folder):
        assert faults("event", line) == [], line["node"]
    if saved.get("diagnosis"):
        assert faults("diagnosis", saved["diagnosis"]) == []
    for name, value in (("run", saved), *(("event", line) for line in lines(folder))):
        MODELS[name].model_validate(value)
    return saved


@pytest.fixture(scope="module")
def finished(home: Path, parts: Path) -> Path:
    inspection = Inspection(parts / "scratched.png", (parts / "good_1.png",), "bracket", "any scratch?")
    return Inspector(home, make_planner("rules"), "rules").inspect(inspection).folder


@pytest.mark.parametrize("name", MODELS)
def test_the_files_are_what_the_program_writes_now(name: str) -> None:
    assert file_of(name).exists(), STALE
    assert file_of(name).read_text(encoding="utf-8") == text_of(name), STALE


@pytest.mark.parametrize("name", MODELS)
def test_they_are_valid_schemas_with_a_name_of_their_own(name: str) -> None:
    schema = schema_of(name)
    Draft202012Validator.check_schema(schema)
    assert (schema["$schema"], schema["$id"]) == (DIALECT, f"flawlens:{name}-1")
    assert schema["title"]
    assert schema["description"]


def test_the_version_is_that_of_the_trace() -> None:
    assert schema_of("run")["properties"]["format"]["const"] == FORMAT


def test_the_command_prints_them() -> None:
    command = [sys.executable, "-m", "agent", "schema", "event"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == text_of("event")


def test_a_finished_run_is_valid(finished: Path) -> None:
    saved = check(finished)
    assert saved["status"] == "finished"
    assert {"intake", "survey", "plan", "act", "submit", "audit", "fuse"} <= {line["node"] for line in lines(finished)}


def test_a_run_with_choices_is_valid(home: Path, parts: Path) -> None:
    planner = ScriptedPlanner(dialect=GENERIC, replies=[submits(), says("", (CHOOSE, {"letter": "B"}))])
    run = inspected(home, planner, Inspection(parts / "scratched.png", choices=(CHOICE,)), direct=True)
    assert check(run.folder)["diagnosis"]["choices"]
    assert "choices" in {event.node for event in run.events}


def test_a_run_whose_planner_fails_repeats_and_errs_is_valid(home: Path, parts: Path) -> None:
    wrong = says("", ("zoom", {"image": "part", "box": [9, 9, 1, 1]}), ("nothing", {}))
    planner = ScriptedPlanner(replies=[wrong, says("hm"), says("hm"), says("hm")])
    run = inspected(home, planner, Inspection(parts / "scratched.png"))
    assert check(run.folder)["diagnosis"]["outcome"] == "no_call"


def test_a_question_on_the_object_and_its_answer_are_valid(home: Path, parts: Path) -> None:
    planner = ScriptedPlanner(dialect=GENERIC, replies=[says("", ("submit_answer", {"answer": "Steel."}))])
    asked = Inspection(parts / "scratched.png", question="What material is it made of?")
    saved = check(inspected(home, planner, asked).folder)
    assert (saved["diagnosis"]["outcome"], saved["diagnosis"]["answer"]) == ("answered", "Steel.")


def test_a_run_that_an_error_ended_is_valid(home: Path, parts: Path) -> None:
    inspector = Inspector(home, ScriptedPlanner(replies=[ZeroDivisionError("no")]), "scripted")
    before = set((home / "runs").iterdir()) if (home / "runs").exists() else set()
    with pytest.raises(ZeroDivisionError):
        inspector.inspect(Inspection(parts / "scratched.png"))
    (folder,) = set((home / "runs").iterdir()) - before
    saved = check(folder)
    assert (saved["status"], saved["error"]) == ("failed", "ZeroDivisionError: no")


def test_a_conversation_is_valid_before_and_after_its_questions(home: Path, parts: Path) -> None:
    inspector = Inspector(home, make_planner("rules"), "rules")
    talk = Conversation.begin(inspector, Inspection(parts / "scratched.png", (parts / "good_1.png",), "bracket"))
    assert check(talk.folder)["status"] == "stopped"
    talk.inspect()
    assert check(talk.folder)["status"] == "finished"
    talk.follow("look at the upper left")
    talk.call("measure", {"image": "part", "box": [100, 100, 300, 300]})
    talk.undo()
    talk.follow("what caused it?")
    assert [one["by"] for one in check(talk.folder)["diagnosis"]["exchanges"]] == ["operator"] * 2


def without(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(saved: dict[str, Any]) -> None:
        for key in path[:-1]:
            saved = saved[key]
        del saved[path[-1]]

    return change


def having(value: Any, *path: str) -> Callable[[dict[str, Any]], None]:
    def change(saved: dict[str, Any]) -> None:
        for key in path[:-1]:
            saved = saved[key]
        saved[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (without("format"), "'format' is a required property"),
        (having("flawlens-trace-2", "format"), "$.format"),
        (having("killed", "status"), "$.status"),
        (without("diagnosis"), "'diagnosis' is a required property"),
        (having("broken", "diagnosis", "verdict"), "'broken' is not one of"),
        (having("high", "diagnosis", "confidence"), "'high' is not of type 'number'"),
        (without("inspection", "image"), "'image' is a required property"),
        (without("setup", "procedure"), "'procedure' is a required property"),
    ],
)
def test_a_broken_run_is_not(finished: Path, change: Callable[[dict[str, Any]], None], fault: str) -> None:
    saved = record(finished)
    change(saved)
    assert any(fault in found for found in faults("run", saved)), faults("run", saved)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (having(-1, "step"), "$.step"),
        (without("node"), "'node' is a required property"),
        (having("none", "update"), "$.update"),
        (having([{"tool": "zoom"}], "update", "evidence"), "'finding' is a required property"),
        (having([{"type": "ai"}], "update", "messages"), "'content' is a required property"),
    ],
)
def test_a_broken_step_is_not(finished: Path, change: Callable[[dict[str, Any]], None], fault: str) -> None:
    line = next(line for line in lines(finished) if line["node"] == "act")
    change(line)
    assert any(fault in found for found in faults("event", line)), faults("event", line)


def test_fields_that_are_new_do_not_break_a_reader(finished: Path) -> None:
    assert faults("run", {**record(finished), "weather": "fine"}) == []


def test_a_run_of_before_the_fields_that_have_a_default_is_valid(finished: Path) -> None:
    saved = record(finished)
    for name in ("exchanges", "criteria", "choices", "usage"):
        del saved["diagnosis"][name]
    assert faults("run", saved) == []


def test_a_trace_that_is_just_begun_is_valid(tmp_path: Path, finished: Path) -> None:
    known = record(finished)
    saved = record(Trace.new(tmp_path, known["inspection"], known["setup"]).folder)
    assert (saved["status"], faults("run", saved)) == ("running", [])
