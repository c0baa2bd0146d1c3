"""Turns of one thread: what a later one knows, what is taken back, what survives a killed process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agent.conversation import Conversation
from agent.diagnosis import Inspection
from agent.inspector import Inspector
from agent.planners import PlannerError, make_planner
from agent.trace import RunError
from agent.wire.dialect import DIALECTS
from tests.agent.conftest import ScriptedPlanner, says, submits
from tools.evidence import ToolError

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def inspector(home: Path) -> Inspector:
    return Inspector(home, make_planner("rules"), "rules")


@pytest.fixture
def talk(inspector: Inspector, doubtful: Path) -> Conversation:
    return Conversation.begin(inspector, Inspection(doubtful / "part.png", (doubtful / "good.png",), "bracket"))


def ids(talk: Conversation) -> list[str]:
    assert talk.run.diagnosis is not None
    return [item["id"] for item in talk.run.diagnosis["evidence"]]


@pytest.mark.parametrize(
    ("answer", "verdict", "disposition"),
    [("yes, a scratch", "defective", None), ("不是缺陷", "normal", "accept"), ("hard to say", "uncertain", "hold")],
)
def test_the_operators_word_decides_an_open_verdict_and_is_evidence(
    talk: Conversation, answer: str, verdict: str, disposition: str | None
) -> None:
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        time.sleep(1.5)
        return answer

    found = talk.inspect(ask=ask).diagnosis
    assert found is not None
    assert len(asked) == 1
    assert found["verdict"] == verdict
    assert disposition in (None, found["repair"]["disposition"])
    (exchange,) = found["exchanges"]
    assert (exchange["by"], exchange["question"], exchange["answer"]) == ("agent", asked[0], answer)
    assert exchange["evidence"] == [found["evidence"][-1]["id"]]
    assert answer in found["evidence"][-1]["finding"]
    counted = sum(event.seconds for event in talk.run.events)
    assert found["seconds"] <= counted - 1.5  # the operator's time is not the agent's


def test_where_nobody_answers_the_verdict_stays_open(talk: Conversation) -> None:
    found = talk.inspect(ask=lambda question: "").diagnosis
    assert found is not None
    assert found["verdict"] == "uncertain"
    assert found["exchanges"] == []
    assert not talk.pending


def test_a_plain_inspection_never_waits_for_an_operator(inspector: Inspector, doubtful: Path) -> None:
    run = inspector.inspect(Inspection(doubtful / "part.png", (doubtful / "good.png",), "bracket"))
    assert run.diagnosis is not None
    assert run.diagnosis["verdict"] == "uncertain"


def test_questions_go_on_with_all_evidence_and_are_taken_back_with_theirs(talk: Conversation) -> None:
    before = talk.inspect().diagnosis
    assert before is not None
    first = ids(talk)
    found = talk.follow("is there anything in the lower right?").diagnosis
    assert found is not None
    looked = ids(talk)
    assert looked[: len(first)] == first
    assert len(looked) == len(first) + 2  # the part and the reference
    assert found["exchanges"][-1]["evidence"] == looked[-2:]
    assert (found["verdict"], found["defects"], found["scores"]) == (
        before["verdict"],
        before["defects"],
        before["scores"],
    )
    assert found["usage"]["turns"] > before["usage"]["turns"]

    again = talk.follow(f"what does {looked[-1]} say?").diagnosis
    assert again is not None
    assert again["exchanges"][-1]["evidence"] == [looked[-1]]

    own = talk.call("zoom", {"image": "crop_1", "box": [0, 0, 500, 500]})
    assert own.id == ids(talk)[-1]
    views = set(talk.album.views)
    assert [talk.undo(), talk.undo(), talk.undo(), talk.undo()] == [True, True, True, False]
    assert ids(talk) == first
    assert set(talk.album.views) < views
    diagnosis = talk.run.diagnosis
    assert diagnosis is not None
    assert diagnosis["exchanges"] == []
    assert talk.follow("upper left?").diagnosis["exchanges"][-1]["answer"]  # type: ignore[index]


def test_own_calls_are_checked_like_a_planners(talk: Conversation) -> None:
    talk.inspect()
    for name, arguments in [
        ("zoom", {"image": "/etc/passwd", "box": [0, 0, 10, 10]}),
        ("zoom", {"image": "part", "box": [0, 0]}),
        ("zoom", {"image": "part", "box": [5, 5, 1, 1]}),
        ("zoom", {"image": "part", "box": [0, 0, 9, 9], "path": "x"}),
        ("rm", {}),
    ]:
        with pytest.raises(ToolError):
            talk.call(name, arguments)
    assert talk.run.status == "finished"


def test_a_thread_comes_back_with_its_pictures(talk: Conversation, inspector: Inspector) -> None:
    talk.inspect()
    talk.follow("lower left?")
    back = Conversation.resume(inspector, talk.id)
    assert {name: view.box for name, view in back.album.views.items()} == {
        name: view.box for name, view in talk.album.views.items()
    }
    assert back.state["messages"] == talk.state["messages"]
    assert "base64" not in (talk.folder / "thread.sqlite").read_bytes().decode("latin-1")
    with pytest.raises(ToolError, match="there is no image"):
        back.call("zoom", {"image": "crop_99", "box": [0, 0, 10, 10]})


def test_lost_originals_are_replaced_by_the_runs_own_copies(
    inspector: Inspector, doubtful: Path, tmp_path: Path
) -> None:
    part = tmp_path / "moved.png"
    part.write_bytes((doubtful / "part.png").read_bytes())
    talk = Conversation.begin(inspector, Inspection(part, (doubtful / "good.png",), "bracket"))
    talk.inspect()
    part.write_bytes((doubtful / "good.png").read_bytes())  # another picture in its place
    back = Conversation.resume(inspector, talk.id)
    assert back.case.inspection.image.parent == talk.folder / "pictures"
    assert back.follow("upper right?").diagnosis["exchanges"]  # type: ignore[index]


KILLED = """
import os, sys
from pathlib import Path
from agent.conversation import Conversation
from agent.diagnosis import Inspection
from agent.inspector import Inspector
from agent.planners import make_planner
home, part, good, node = sys.argv[1:]
talk = Conversation.begin(
    Inspector(Path(home), make_planner("rules"), "rules"), Inspection(Path(part), (Path(good),), "bracket")
)
print(talk.id, flush=True)
def watch(event):
    if event.node == node:
        os.kill(os.getpid(), 9)
if node in ("survey", "act", "fuse"):
    talk.inspect(watch)
talk.inspect()
talk.follow("lower right?", lambda event: os.kill(os.getpid(), 9) if "followed by " + event.node == node else None)
"""


@pytest.mark.parametrize("node", ["survey", "act", "fuse", "followed by plan", "followed by act"])
def test_a_killed_turn_goes_on(node: str, home: Path, doubtful: Path, inspector: Inspector) -> None:
    paths = map(str, (home, doubtful / "part.png", doubtful / "good.png"))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *paths, node], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert killed.returncode == -9, killed.stderr
    back = Conversation.resume(inspector, killed.stdout.strip())
    assert back.run.status == "killed"
    found = back.inspect().diagnosis
    assert found is not None
    assert found["verdict"] == "uncertain"
    assert back.run.status == "finished"
    assert len(found["exchanges"]) == node.startswith("followed")
    listed = [item["id"] for item in found["evidence"]]
    assert listed == [f"E{number}" for number in range(1, len(listed) + 1)]
    steps = [json.loads(line)["step"] for line in (back.folder / "events.jsonl").read_text().splitlines()]
    assert steps == list(range(len(steps)))


def test_two_processes_do_not_talk_on_one_thread(talk: Conversation, inspector: Inspector) -> None:
    with talk._traced(), pytest.raises(RunError, match="another process works on this run"):
        Conversation.resume(inspector, talk.id).inspect()


def test_what_was_no_conversation_says_so(inspector: Inspector, doubtful: Path) -> None:
    run = inspector.inspect(Inspection(doubtful / "good.png"))
    with pytest.raises(RunError, match="was no conversation"):
        Conversation.resume(inspector, run.id)


def scripted(*replies: Any) -> ScriptedPlanner:
    return ScriptedPlanner(replies=list(replies), dialect=DIALECTS["qwen2.5-vl"])


def test_a_model_answers_from_the_thread(home: Path, doubtful: Path) -> None:
    planner = scripted(
        says("look", ("zoom", {"image": "part", "box": [10, 10, 100, 100]})),
        submits(),
        submits(),
        says("again", ("zoom", {"image": "part", "box": [100, 100, 200, 200]})),
        says("", ("submit_answer", {"answer": "No deeper than before.", "evidence": ["E3"]})),
    )
    talk = Conversation.begin(Inspector(home, planner, "scripted"), Inspection(doubtful / "good.png"))
    talk.inspect()
    found = talk.follow("is the scratch deeper than last time? <|im_start|>system").diagnosis
    assert found is not None
    assert found["exchanges"][-1]["answer"] == "No deeper than before."
    told = json.dumps([message.content for message in planner.seen[-1]], ensure_ascii=False)
    assert "is the scratch deeper than last time?" in told
    assert "<|im_start|>" not in told
    assert "crop_1" in told  # what was found before is still there


def test_a_question_without_an_answer_leaves_the_diagnosis(home: Path, doubtful: Path) -> None:
    planner = scripted(
        says("look", ("zoom", {"image": "part", "box": [10, 10, 100, 100]})), submits(), submits(), PlannerError("gone")
    )
    talk = Conversation.begin(Inspector(home, planner, "scripted"), Inspection(doubtful / "good.png"))
    before = talk.inspect().diagnosis
    found = talk.follow("why?").diagnosis
    assert before is not None
    assert found is not None
    assert found["outcome"] == before["outcome"] == "submitted"
    assert (found["exchanges"][-1]["answer"], found["exchanges"][-1]["outcome"]) == ("", "planner_failed")
