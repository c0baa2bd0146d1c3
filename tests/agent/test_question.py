"""Which questions leave the inspection out: few, and never one about a defect."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.diagnosis import Inspection
from agent.question import topic_of

OBJECT = """
What material is this?
What is the housing made of?
What colour is the cable?
What kind of product is in the picture?
Can you tell me what this is?
What is the part used for?
How many holes are there?
这是什么？
这个零件是什么材料？
这个零件是干什么用的？
有几个引脚？
"""
DEFECTS = """
Is there a scratch on it?
What is the problem with this part?
Where is the problem?
Which side is deformed?
Which pin is not soldered?
What is the discoloration?
How many pits are there?
How many pins are missing?
What is wrong with the material?
Look at the lower right only.
有几个毛刺?
哪个引脚虚焊?
几个气泡?
只看右下角
"""


def topic(question: str | None) -> str:
    return topic_of(Inspection(Path("part.png"), question=question))


@pytest.mark.parametrize("question", OBJECT.strip().splitlines())
def test_questions_about_the_object(question: str) -> None:
    assert topic(question) == "object"


@pytest.mark.parametrize("question", [None, "", *DEFECTS.strip().splitlines()])
def test_all_others_are_inspected(question: str | None) -> None:
    assert topic(question) == "defects"


def test_a_stated_topic_counts() -> None:
    stated = Inspection(Path("part.png"), question="Is there a scratch on it?", topic="object")
    assert topic_of(stated) == "object"
