"""The state machine, driven by written replies over real tools, knowledge and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage

from agent.diagnosis import Inspection, Procedure
from agent.trace import Run, list_runs
from tests.agent.conftest import ScriptedPlanner, inspected, says, submits


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def run(home: Path, parts: Path, *replies: AIMessage, image: str = "scratched.png") -> tuple[Run, ScriptedPlanner]:
    planner = ScriptedPlanner(replies=list(replies))
    inspection = Inspection(parts / image, (parts / "good_1.png", parts / "good_2.png"), "screw")
    return inspected(home, planner, inspection), planner


def diagnosis(run: Run) -> dict[str, Any]:
    assert run.diagnosis is not None
    return run.diagnosis


def answers(planner: ScriptedPlanner) -> list[ToolMessage]:
    return [message for message in planner.seen[-1] if isinstance(message, ToolMessage)]


def test_evidence_is_gathered_when_the_planner_asks_for_nothing(home: Path, parts: Path) -> None:
    finished, planner = run(home, parts, submits())
    found = diagnosis(finished)
    assert [item["id"] for item in found["evidence"]] == ["E1", "E2", "E3"]
    assert [item["tool"] for item in found["evidence"]] == [
        "search_knowledge",
        "anomaly_map",
        "compare_with_reference",
    ]
    assert "[E1]" in str(planner.seen[0][3].content)


def test_silence_is_an_outcome_and_never_a_normal_part(home: Path, parts: Path) -> None:
    finished, planner = run(home, parts, says("I am not sure."), image="good_3.png")
    found = diagnosis(finished)
    assert found["outcome"] == "no_call"
    assert (found["verdict"], found["confidence"]) == ("uncertain", 0.0)
    assert found["scores"]["planner"] is None
    assert found["repair"]["disposition"] == "hold"
    assert any("no_call" in reason for reason in found["degraded"])
    assert len(planner.seen) == 2


def test_a_planner_that_only_zooms_reaches_the_limit_and_is_then_offered_only_the_answer(
    home: Path, parts: Path
) -> None:
    finished, planner = run(home, parts, says("", ("zoom", {"image": "part", "box": [0, 0, 500, 500]})))
    assert diagnosis(finished)["outcome"] == "turn_limit"
    assert diagnosis(finished)["verdict"] == "uncertain"
    assert len(planner.seen) == Procedure().turns
    assert planner.offered[-1] == ["submit_diagnosis"]
    assert "zoom" in planner.offered[0]


def test_an_answer_that_cites_unknown_evidence_goes_back(home: Path, parts: Path) -> None:
    defect = {
        "type": "scratch",
        "box": [1, 1, 200, 200],
        "place": "upper left",
        "appearance": "a line",
        "severity": "minor",
        "effect": "looks",
        "cause": "handling",
    }
    wrong = submits("defective", 0.9, defects=[{**defect, "evidence": ["E99"]}])
    right = submits("defective", 0.9, defects=[{**defect, "evidence": ["E1"]}])
    finished, planner = run(home, parts, wrong, right)
    assert diagnosis(finished)["defects"][0]["evidence"] == ["E1"]
    refusal = next(message for message in answers(planner) if "E99" in str(message.content))
    assert refusal.status == "error"
    assert "E1, E2, E3" in str(refusal.content)


def test_the_audit_can_change_the_verdict(home: Path, parts: Path) -> None:
    first, second = submits("normal", 0.02), submits("defective", 0.99, against="E2 shows no difference")
    finished, planner = run(home, parts, first, second)
    found = diagnosis(finished)
    assert found["scores"]["planner"] == 0.99
    assert found["against"] == "E2 shows no difference"
    assert planner.offered[1] == ["submit_diagnosis"]
    assert [event.node for event in finished.events].count("audit") == 1


def test_an_answer_wins_over_tool_calls_in_the_same_reply_and_every_call_is_answered(home: Path, parts: Path) -> None:
    both = submits()
    zoom = says("", ("zoom", {"image": "part", "box": [0, 0, 500, 500]})).tool_calls[0]
    both.tool_calls.append({**zoom, "id": "call_9"})
    finished, planner = run(home, parts, both)
    assert diagnosis(finished)["outcome"] == "submitted"
    answered = {message.tool_call_id for message in answers(planner)}
    assert {"call_0", "call_9"} <= answered
    assert [event.node for event in finished.events].count("submit") == 2  # the answer and its audit


def test_an_answer_stands_when_the_audit_is_answered_in_words_only(home: Path, parts: Path) -> None:
    finished, _ = run(home, parts, submits("defective", 0.95), says("I keep my verdict."))
    found = diagnosis(finished)
    assert found["outcome"] == "submitted"
    assert found["scores"]["planner"] == 0.95
    assert found["verdict"] == "defective"


def test_a_wrong_answer_in_the_audit_does_not_undo_the_first(home: Path, parts: Path) -> None:
    finished, _ = run(home, parts, submits("normal", 0.02), submits("broken"))
    assert diagnosis(finished)["outcome"] == "submitted"
    assert diagnosis(finished)["scores"]["planner"] == 0.02


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (("zoom", {"image": "nobody", "box": [0, 0, 9, 9]}), "the images are: part, reference_1"),
        (("zoom", {"image": "part", "box": [0, 0, 1001, 9]}), "0-1000"),
        (("zoom", {"image": "part", "box": "all"}), "box"),
        (("paint", {}), "there is no tool 'paint'"),
        (("compare_with_reference", {"reference": "part"}), "reference_1"),
    ],
)
def test_a_wrong_call_is_answered_with_what_to_change(
    home: Path, parts: Path, call: tuple[str, dict[str, Any]], expected: str
) -> None:
    finished, planner = run(home, parts, says("", call), submits())
    assert diagnosis(finished)["outcome"] == "submitted"
    reply = answers(planner)[3]
    assert reply.status == "error"
    assert expected in str(reply.content)


def test_a_broken_tool_ends_the_run_as_failed_with_its_trace_on_disk(
    home: Path, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("tools.compare.compare", broken)
    before = {run.id for run in list_runs(home / "runs")}
    with pytest.raises(RuntimeError, match="disk is full"):
        run(home, parts, submits())
    (failed,) = [run for run in list_runs(home / "runs") if run.id not in before]
    assert failed.status == "failed"
    assert "disk is full" in failed.error
    assert failed.diagnosis is None


def test_a_run_is_small_and_plain(home: Path, parts: Path) -> None:
    zoom = says("", ("zoom", {"image": "part", "box": [0, 0, 500, 500]}))
    finished, _ = run(home, parts, zoom, zoom, zoom, zoom, zoom, submits())
    steps = json.dumps([event.update for event in finished.events])
    assert len(steps) < 200_000
    names = {path.name for path in (finished.folder / "pictures").iterdir()}
    cited = {name for item in diagnosis(finished)["evidence"] for name in item["files"]}
    assert cited <= names
