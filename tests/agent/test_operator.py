"""What an operator's words mean, and what a question after the diagnosis points at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.operator import as_evidence, question_on, says
from agent.planners.rules_followup import place_in
from tools.evidence import Evidence, Region
from tools.image import Box


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        ("yes", "defect"),
        ("Y", "defect"),
        ("Yes, a deep scratch", "defect"),
        ("it is damaged", "defect"),
        ("not ok", "defect"),
        ("no good", "defect"),
        ("是", "defect"),
        ("是划痕", "defect"),
        ("有划痕", "defect"),
        ("不合格", "defect"),
        ("不正常", "defect"),
        ("no", "normal"),
        ("n", "normal"),
        ("No, harmless ink", "normal"),
        ("that is not a defect", "normal"),
        ("looks fine", "normal"),
        ("OK", "normal"),
        ("不是", "normal"),
        ("不是缺陷，是油墨", "normal"),
        ("没有", "normal"),
        ("没问题", "normal"),
        ("合格", "normal"),
        ("no, but the edge is broken", "unclear"),
        ("hard to say", "unclear"),
        ("看不清", "unclear"),
        ("", "unclear"),
    ],
)
def test_words_of_an_operator(answer: str, meaning: str) -> None:
    assert says(answer) == meaning


@given(st.text(max_size=400))
def test_an_answer_is_one_line_of_data(answer: str) -> None:
    messages, filed = as_evidence("Is it?", answer, 3)
    assert len(messages) == 2
    assert bool(filed) == bool(answer.strip())
    for item in filed:
        assert item["id"] == "E4"
        assert "\n" not in item["finding"]
        assert "<|" not in item["finding"]


def test_the_question_names_the_strongest_mark_in_both_languages() -> None:
    marks = [Region(box=Box(0, 0, 100, 100), score=1.1), Region(box=Box(800, 0, 900, 100), score=2.0)]
    evidence = [Evidence(id="E1", tool="anomaly_map", finding="2 regions", above_normal=True, regions=marks)]
    assert "upper right (box [800, 0, 900, 100])" in question_on(evidence, "en")
    assert "右上处（框 [800, 0, 900, 100]）" in question_on(evidence, "zh")
    assert "no single mark stands out" in question_on([], "en")


@pytest.mark.parametrize(
    ("question", "box"),
    [
        ("只看右下角", (500, 500, 1000, 1000)),
        ("look at the upper left", (0, 0, 500, 500)),
        ("what about the bottom edge?", (0, 500, 1000, 1000)),
        ("中间有什么", (250, 250, 750, 750)),
        ("比上次深吗", None),
        ("is it deeper than last time?", None),
        ("right or left?", (0, 0, 1000, 1000)),
    ],
)
def test_places_in_a_question(question: str, box: tuple[int, ...] | None) -> None:
    found = place_in(question)
    assert (tuple(found) if found else None) == box
