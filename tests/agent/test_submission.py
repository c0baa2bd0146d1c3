"""What an answer must hold before it counts."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.submission import SubmissionError, check
from tools.evidence import Evidence

EVIDENCE = [
    Evidence(id="E1", tool="anomaly_map", finding="one region"),
    Evidence(id="E2", tool="search_knowledge", finding="", passages=[{"id": "scratch"}]),
]
ANSWER: dict[str, Any] = {
    "verdict": "defective",
    "probability": 0.9,
    "repair": {"disposition": "rework", "actions": ["Polish it out [scratch]"], "knowledge": ["scratch"]},
    "summary": "a scratch [E1]",
}


def with_repair(**changed: Any) -> dict[str, Any]:
    return {**ANSWER, "repair": {**ANSWER["repair"], **changed}}


def test_a_sound_answer_passes_unchanged() -> None:
    assert check(ANSWER, EVIDENCE).repair.actions == ["Polish it out [scratch]"]


def test_an_action_without_a_source_is_marked_general_practice() -> None:
    assert check(with_repair(actions=["Wipe it"]), EVIDENCE).repair.actions == ["Wipe it [general practice]"]


@pytest.mark.parametrize("field", ["actions", "prevention"])
def test_an_action_with_an_invented_source_is_refused(field: str) -> None:
    with pytest.raises(SubmissionError, match="no knowledge iso_9999"):
        check(with_repair(**{field: ["Do it [iso_9999]"]}), EVIDENCE)


def test_knowledge_that_was_not_retrieved_is_refused() -> None:
    with pytest.raises(SubmissionError, match=r"no knowledge dent.*this run has: scratch"):
        check(with_repair(knowledge=["dent"]), EVIDENCE)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"verdict": "broken"}, "verdict"),
        ({"probability": 1.2}, "probability"),
        ({"probability": "high"}, "probability"),
        ({"repair": None}, "repair"),
        ({"mood": "good"}, "mood"),
        ({"defects": [{"type": "scratch"}]}, "defects.0"),
    ],
)
def test_the_error_names_the_field(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(SubmissionError, match=named):
        check({**ANSWER, **changed}, EVIDENCE)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*ANSWER, "defects", "against"]), json_values))
def test_any_json_is_accepted_or_refused_in_words(arguments: dict[str, Any]) -> None:
    with suppress(SubmissionError):
        assert check(arguments, EVIDENCE).verdict in ("normal", "defective", "uncertain")
