"""The loop's discipline: budgets, repeated and faulty calls, what is offered when, failures, object questions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from agent.diagnosis import Inspection
from agent.inspector import Inspector
from agent.planners import PlannerError
from agent.trace import Run
from agent.wire.dialect import GENERIC, Dialect
from tests.agent.conftest import ScriptedPlanner, inspected, says, submits

ZOOM = ("zoom", {"image": "part", "box": [0, 0, 500, 500]})
LOOKS = ["zoom", "enhance", "measure"]
NONSENSE = AIMessage('<tool_call>{"name": "zoom", "arguments": {"image": </tool_call>')


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def run(
    home: Path,
    parts: Path,
    *replies: Any,
    dialect: Dialect | None = GENERIC,
    question: str | None = None,
    product: str | None = "bracket",
    **procedure: Any,
) -> tuple[Run, dict[str, Any], ScriptedPlanner]:
    planner = ScriptedPlanner(replies=list(replies), dialect=dialect)
    inspection = Inspection(parts / "scratched.png", (parts / "good_1.png", parts / "good_2.png"), product, question)
    finished = inspected(home, planner, inspection, **procedure)
    assert finished.diagnosis is not None
    return finished, finished.diagnosis, planner


def answers(planner: ScriptedPlanner) -> list[str]:
    return [str(message.content) for message in planner.seen[-1] if isinstance(message, ToolMessage)]


def nodes(finished: Run) -> list[str]:
    return [event.node for event in finished.events]


def test_a_model_looks_for_itself_before_it_is_offered_the_answer(home: Path, parts: Path) -> None:
    _, found, planner = run(home, parts, says("", ZOOM), submits())
    assert "submit_diagnosis" not in planner.offered[0]
    assert "submit_diagnosis" in planner.offered[1]
    assert found["outcome"] == "submitted"


def test_the_tools_told_never_change_while_those_offered_narrow(home: Path, parts: Path) -> None:
    _, _, planner = run(home, parts, says("", ZOOM), submits())
    assert planner.told[0] == planner.told[1] == planner.told[2]
    assert "anomaly_map" in planner.told[0]
    assert "anomaly_map" not in planner.offered[0]  # the survey has used it up
    assert planner.offered[2] == ["submit_diagnosis"]


def test_the_same_call_again_is_answered_from_the_evidence_and_that_tool_rests(home: Path, parts: Path) -> None:
    finished, found, planner = run(home, parts, says("", ZOOM), says("", ZOOM), submits())
    assert [item["tool"] for item in found["evidence"]].count("zoom") == 1
    assert "You asked this before" in answers(planner)[3]
    assert "[E3]" in answers(planner)[3]
    assert "zoom" in planner.offered[1]
    assert "zoom" not in planner.offered[2]
    assert found["usage"]["tool_calls"] == 1
    assert nodes(finished).count("act") == 2


def test_the_survey_counts_as_asked_before(home: Path, parts: Path) -> None:
    _, found, planner = run(home, parts, says("", ("anomaly_map", {})), submits())
    assert [item["tool"] for item in found["evidence"]].count("anomaly_map") == 1
    assert "[E1]" in answers(planner)[2]


def test_two_calls_alike_in_one_reply_run_once(home: Path, parts: Path) -> None:
    _, found, _ = run(home, parts, says("", ZOOM, ZOOM), submits())
    assert [item["tool"] for item in found["evidence"]].count("zoom") == 1


def test_a_reply_with_many_calls_has_only_the_first_ones_run(home: Path, parts: Path) -> None:
    many = [("zoom", {"image": "part", "box": [0, 0, 500, 500 + number]}) for number in range(20)]
    _, found, planner = run(home, parts, says("", *many), submits())
    assert [item["tool"] for item in found["evidence"]].count("zoom") == 8
    assert len(answers(planner)) == 2 + 20 + 1  # survey, zooms, submission


def test_a_tool_that_is_used_up_is_said_to_be(home: Path, parts: Path) -> None:
    looks = [says("", ("zoom", {"image": "part", "box": [0, 0, 500, 500 + n]})) for n in range(7)]
    _, found, planner = run(home, parts, *looks, submits())
    assert [item["tool"] for item in found["evidence"]].count("zoom") == 6
    assert "zoom" not in planner.offered[6]
    assert any("zoom is not offered now" in answer for answer in answers(planner))


def test_two_faulty_replies_are_repaired_with_their_fault_named(home: Path, parts: Path) -> None:
    finished, found, planner = run(home, parts, NONSENSE, NONSENSE, says("", ZOOM), submits())
    assert found["outcome"] == "submitted"
    assert nodes(finished).count("repair") == 2
    assert any("could not be used" in str(message.content) for message in planner.seen[1])
    assert "zoom" in planner.offered[2]


def test_after_three_faulty_replies_only_the_answer_is_offered(home: Path, parts: Path) -> None:
    _, found, planner = run(home, parts, NONSENSE, NONSENSE, NONSENSE, submits())
    assert planner.offered[3] == ["submit_diagnosis"]
    assert found["outcome"] == "submitted"


@pytest.mark.parametrize(
    "faulty",
    [
        NONSENSE,
        says("", ("paint", {})),
        says("", ("zoom", {"image": "part", "box": "all"})),
        says("", ("zoom", {"image": "part", "box": [0, 0, 500, 500], "colour": "red"})),
        submits("broken"),
    ],
    ids=["unreadable", "unknown tool", "wrong type", "unknown argument", "wrong answer"],
)
def test_faulty_replies_without_end_are_an_outcome_and_never_a_normal_part(
    home: Path, parts: Path, faulty: AIMessage
) -> None:
    _, found, planner = run(home, parts, faulty)
    assert found["outcome"] == "malformed"
    assert (found["verdict"], found["confidence"]) == ("uncertain", 0.0)
    assert len(planner.seen) == 4


def test_a_planner_that_fails_leaves_the_evidence_and_an_uncertain_verdict(home: Path, parts: Path) -> None:
    finished, found, _ = run(home, parts, says("", ZOOM), PlannerError("the server is gone; start it"))
    assert finished.status == "finished"
    assert found["outcome"] == "planner_failed"
    assert found["verdict"] == "uncertain"
    assert found["scores"]["detector"] is not None
    assert len(found["evidence"]) == 3
    assert any("the server is gone; start it" in reason for reason in found["degraded"])


def test_an_answer_stands_when_the_planner_fails_in_the_audit(home: Path, parts: Path) -> None:
    _, found, _ = run(home, parts, says("", ZOOM), submits("defective", 0.95), PlannerError("gone"))
    assert found["outcome"] == "submitted"
    assert found["scores"]["planner"] == 0.95
    assert any("gone" in reason for reason in found["degraded"])


E99 = {
    "type": "scratch",
    "box": [1, 1, 200, 200],
    "place": "upper left",
    "appearance": "a line",
    "severity": "minor",
    "effect": "looks",
    "cause": "handling",
    "evidence": ["E99"],
}


def test_a_faulty_audit_is_repaired_once(home: Path, parts: Path) -> None:
    wrong = submits("defective", 0.95, defects=[E99])
    right = submits("defective", 0.95)
    _, found, planner = run(home, parts, says("", ZOOM), submits("normal", 0.1), wrong, right)
    assert found["scores"]["planner"] == 0.95
    assert planner.offered[2] == planner.offered[3] == ["submit_diagnosis"]
    assert not any("audit" in reason for reason in found["degraded"])


def test_an_audit_that_overturns_the_verdict_in_a_wrong_form_leaves_it_open(home: Path, parts: Path) -> None:
    wrong = submits("defective", 0.95, defects=[E99])
    _, found, planner = run(home, parts, says("", ZOOM), submits("normal", 0.1), wrong)
    assert (found["verdict"], found["confidence"]) == ("uncertain", 0.0)
    assert any("the audit came to another verdict" in reason for reason in found["degraded"])
    assert len(planner.seen) == 4


@pytest.mark.parametrize("audit", [says("I was wrong: it is defective."), NONSENSE])
def test_an_audit_without_an_answer_is_said(home: Path, parts: Path, audit: AIMessage) -> None:
    _, found, _ = run(home, parts, says("", ZOOM), submits("normal", 0.1), audit)
    assert found["outcome"] == "submitted"
    assert any("not weighed" in reason for reason in found["degraded"])


def test_an_audit_that_no_turn_is_left_for_is_said(home: Path, parts: Path) -> None:
    for audit, said in ((True, True), (False, False)):
        _, found, _ = run(home, parts, submits("defective", 0.9), turns=1, audit=audit)
        assert any("not weighed" in reason for reason in found["degraded"]) is said


def test_ids_that_start_again_in_every_reply_mix_nothing_up(home: Path, parts: Path) -> None:
    looks = [says("", ("zoom", {"image": "part", "box": [0, 0, edge, edge]})) for edge in (500, 300)]
    _, found, planner = run(home, parts, *looks, looks[0], submits())
    assert [item["id"] for item in found["evidence"] if item["tool"] == "zoom"] == ["E3", "E4"]
    assert "[E3]" in answers(planner)[4]
    calls = [call["id"] for m in planner.seen[-1] if isinstance(m, AIMessage) for call in m.tool_calls]
    assert len(calls) == len(set(calls))


def test_a_question_that_stays_unanswered_is_said(home: Path, parts: Path) -> None:
    question = "Is there a scratch on it?"
    _, found, _ = run(home, parts, says("", ZOOM), submits(), question=question)
    assert "the question was not answered" in found["degraded"]
    _, found, _ = run(home, parts, says("", ZOOM), submits(answer="Yes."), question=question)
    assert "the question was not answered" not in found["degraded"]
    assert found["answer"] == "Yes."


def test_an_empty_answer_about_the_object_does_not_count(home: Path, parts: Path) -> None:
    empty, full = (says("", ("submit_answer", {"answer": text, "evidence": []})) for text in ("", "Steel."))
    _, found, planner = run(home, parts, says("", ZOOM), empty, full, question="What material is this?")
    assert found["answer"] == "Steel."
    assert len(planner.seen) == 3


def test_a_turn_leaves_time_for_the_answer(home: Path, parts: Path) -> None:
    given: list[float] = []

    class Timed(ScriptedPlanner):
        def bind_tools(self, tools: Any, *, calls: Any = None, seconds: float = 0.0, **_: Any) -> ScriptedPlanner:
            given.append(seconds)
            return super().bind_tools(tools, calls=calls)

    planner = Timed(replies=[says("", ZOOM), submits()], dialect=GENERIC)
    inspected(home, planner, Inspection(parts / "scratched.png", (parts / "good_1.png",)), seconds=100, audit=False)
    assert all(seconds < 80 for seconds in given)


def test_a_planner_that_used_up_its_time_is_asked_once_more_for_the_answer(
    home: Path, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [100.0]
    monkeypatch.setattr("agent.graph.Room.seconds_left", lambda room: left[0])

    class Slow(ScriptedPlanner):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            left[0] -= 85.0 if not self.seen else 0.0
            return super()._generate(*args, **kwargs)

    planner = Slow(replies=[PlannerError("no whole answer in 80 s"), submits("defective", 0.9)], dialect=GENERIC)
    found = inspected(home, planner, Inspection(parts / "scratched.png"), seconds=100).diagnosis
    assert found is not None
    assert found["outcome"] == "submitted"
    assert planner.offered == [[*LOOKS, "search_knowledge"], ["submit_diagnosis"]]


def test_time_that_is_over_is_an_outcome(home: Path, parts: Path) -> None:
    _, found, planner = run(home, parts, submits(), seconds=0.001)
    assert found["outcome"] == "time_limit"
    assert found["verdict"] == "uncertain"
    assert planner.seen == []


def test_the_last_fifth_of_the_time_is_for_the_answer(home: Path, parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.graph.Room.seconds_left", lambda room: 0.1 * room.procedure.seconds)
    _, found, planner = run(home, parts, submits())
    assert planner.offered[0] == ["submit_diagnosis"]
    assert found["outcome"] == "submitted"


def test_tokens_that_are_used_up_leave_one_turn_for_the_answer(home: Path, parts: Path) -> None:
    wordy = says("", ZOOM)
    wordy.usage_metadata = {"input_tokens": 10, "output_tokens": 90, "total_tokens": 100}
    _, found, planner = run(home, parts, wordy, says("", ("search_knowledge", {"query": "scratch"})), tokens=80)
    assert planner.offered[1] == ["submit_diagnosis"]
    assert found["outcome"] == "token_limit"
    assert found["verdict"] == "uncertain"


def test_turns_are_counted(home: Path, parts: Path) -> None:
    _, found, planner = run(home, parts, says("", ZOOM), says("", ("search_knowledge", {"query": "scratch"})), turns=2)
    assert found["outcome"] == "turn_limit"
    assert len(planner.seen) == 2


def test_the_audit_can_be_switched_off(home: Path, parts: Path) -> None:
    finished, found, planner = run(home, parts, says("", ZOOM), submits(), audit=False)
    assert "audit" not in nodes(finished)
    assert len(planner.seen) == 2
    assert found["outcome"] == "submitted"


def test_the_steps_of_thought_can_be_switched_off(home: Path, parts: Path) -> None:
    for reasoning in (True, False):
        _, _, planner = run(home, parts, says("", ZOOM), submits(), reasoning=reasoning)
        assert ("think aloud" in str(planner.seen[0][0].content)) is reasoning


def test_the_answer_is_asked_for_in_chinese_and_knowledge_comes_in_it(home: Path, parts: Path) -> None:
    query = ("search_knowledge", {"query": "thin bright line on metal"})
    _, found, planner = run(home, parts, says("", query), submits(), language="zh")
    assert "简体中文" in str(planner.seen[0][0].content)
    assert {passage["language"] for item in found["evidence"] for passage in item["passages"]} == {"zh"}


def test_a_question_about_the_object_gets_no_anomaly_tools_and_no_references(home: Path, parts: Path) -> None:
    answer = says("", ("submit_answer", {"answer": "Sheet steel.", "evidence": []}))
    finished, found, planner = run(home, parts, says("", ZOOM), answer, question="What material is this?")
    assert planner.told[0] == [*LOOKS, "search_knowledge", "submit_answer"]
    assert found["answer"] == "Sheet steel."
    assert found["outcome"] == "answered"
    assert (found["verdict"], found["confidence"]) == ("uncertain", 0.0)
    assert found["scores"] == {"detector": None, "planner": None, "fused": None}
    assert "audit" not in nodes(finished)
    assert "reference" not in str(planner.seen[0][1].content)
    assert any("not inspected" in reason for reason in found["degraded"])


def test_a_question_about_defects_gets_everything(home: Path, parts: Path) -> None:
    _, _, planner = run(home, parts, says("", ZOOM), submits(), question="Is there a scratch on it?")
    assert "compare_with_reference" in planner.told[0]
    assert "Is there a scratch on it?" in str(planner.seen[0][1].content)


def test_the_planner_without_a_language_model_inspects_whatever_is_asked(home: Path, parts: Path) -> None:
    _, found, _ = run(home, parts, submits(), dialect=None, question="What material is this?")
    assert found["scores"]["detector"] is not None


def test_turns_tokens_and_seconds_are_accounted_for(home: Path, parts: Path) -> None:
    first, second = says("", ZOOM), submits()
    for reply, tokens in ((first, 7), (second, 5)):
        reply.usage_metadata = {"input_tokens": 100, "output_tokens": tokens, "total_tokens": 100 + tokens}
    _, found, _ = run(home, parts, first, second, audit=False)
    usage = found["usage"]
    assert (usage["turns"], usage["prompt_tokens"], usage["completion_tokens"]) == (2, 200, 12)
    assert (usage["tool_calls"], usage["tool_call_rate"]) == (1, 0.5)
    assert usage["image_tokens"] > 0
    assert usage["tool_seconds"] > 0


def test_the_detectors_weight_is_the_procedures(home: Path, parts: Path) -> None:
    fused = [
        run(home, parts, says("", ZOOM), submits("defective", 0.6), detector_weight=weight)[1]["scores"]
        for weight in (0.0, 0.5, 1.0)
    ]
    assert fused[0]["fused"] == pytest.approx(fused[0]["planner"])
    assert fused[2]["fused"] == pytest.approx(fused[2]["detector"])
    assert fused[0]["fused"] < fused[1]["fused"] < fused[2]["fused"]


def test_any_langchain_chat_model_is_spoken_to_in_general_terms(home: Path, parts: Path) -> None:
    class Other(ScriptedPlanner):
        def __getattribute__(self, name: str) -> Any:
            if name == "dialect":
                raise AttributeError(name)
            return super().__getattribute__(name)

    planner = Other(replies=[says("", ZOOM), submits()])
    inspection = Inspection(parts / "scratched.png", (parts / "good_1.png",))
    found = Inspector(home, planner, "other").inspect(inspection).diagnosis
    assert found is not None
    assert found["outcome"] == "submitted"
    assert planner.told[0] == [*LOOKS, "search_knowledge"]
    asked = [message for message in planner.seen[0] if isinstance(message, HumanMessage)]
    assert sum("image_url" in block for message in asked for block in message.content) >= 2


def test_a_request_holds_no_more_pixels_than_its_budget(home: Path, parts: Path) -> None:
    small = replace(GENERIC, least_pixels=64 * 1024, most_pixels=64 * 1024, request_pixels=4 * 64 * 1024)
    looks = [says("", ("zoom", {"image": "part", "box": [0, 0, 500, 400 + 50 * n]})) for n in range(5)]
    _, _, planner = run(home, parts, *looks, submits(), dialect=small)
    blocks = [block for message in planner.seen[-1] if isinstance(message.content, list) for block in message.content]
    assert 2 <= sum(block["type"] == "image_url" for block in blocks) <= 4
    assert "crop_1: shown before" in str(planner.seen[-1])
