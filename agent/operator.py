"""What the operator is asked when the verdict stays open, and how the answer becomes evidence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from langchain_core.messages import AIMessage, AnyMessage, ToolCall, ToolMessage

from agent.diagnosis import Exchange, Language, place_of
from prompts import render
from tools.evidence import Evidence, Region
from tools.quoting import harmless

LONGEST = 300  # characters of an answer
ASK = "ask_operator"
Says = Literal["defect", "normal", "unclear"]
PLACES = {"upper": "上", "middle": "中", "lower": "下", "left": "左", "right": "右", "centre": "中"}
_NORMAL = re.compile(
    r"\bno\b|\bnot? (?:a )?(?:defect|fault|flaw|damage|problem)|\bn\b"
    r"|\bnormal\b|\bharmless\b|\bfine\b|\bgood\b|\bok(?:ay)?\b"
    r"|不是|没有|没问题|无缺陷|正常|(?<!不)合格|良品|^\s*[否无没]"
)
_DEFECT = re.compile(
    r"\byes\b|\by\b|\bdefect|\bnot (?:ok(?:ay)?|normal|good|fine|harmless)\b|\babnormal\b"
    r"|\bbad\b|\bscrap\b|\bbroken\b|\bdamaged?\b"
    r"|不合格|不正常|不良|(?<!不)是|(?<!没)有(?!没)|缺陷|坏|报废"
)
_NOT_OK = re.compile(r"\bnot (?:ok(?:ay)?|normal|good|fine|harmless)\b|\bno good\b|不合格|不正常|不良")


def question_on(evidence: Sequence[Evidence], language: Language) -> str:
    """A question about the strongest mark that was looked at, in words; "yes" means a defect."""
    marks = [region for item in evidence if item.above_normal for region in item.regions]
    if not marks:
        return render("ask", language=language, place="", box="", described="")
    mark = max(marks, key=lambda region: region.score)
    look = next((item for item in evidence if item.tool == "zoom" and item.regions[0].box.touches(mark.box)), None)
    return render(
        "ask",
        language=language,
        place=_placed(mark, language),
        box=[round(edge) for edge in mark.box],
        described=str(look.numbers["described"]) if look else "",
    )


def says(answer: str) -> Says:
    """What an answer means for the part; a plain refusal of "ok" is a defect, words of both kinds are unclear."""
    words = answer.lower()
    if _NOT_OK.search(words):
        return "defect"
    normal = _NORMAL.search(words)
    if normal:
        # "no, that is not a defect" names the defect only to deny it
        rest = words[normal.end() :]
        return "unclear" if re.search(r"\bbut\b|但", rest) and _DEFECT.search(rest) else "normal"
    return "defect" if _DEFECT.search(words) else "unclear"


def as_evidence(question: str, answer: str, filed: int) -> tuple[list[AnyMessage], list[dict[str, Any]]]:
    """The exchange as a call and its result, and the evidence, numbered from `filed` + 1; none without an answer."""
    call = ToolCall(name=ASK, args={"question": question}, id=f"{ASK}_{filed}")
    asked = AIMessage("", tool_calls=[call])
    if not answer.strip():
        return [asked, ToolMessage("The operator gave no answer.", tool_call_id=call["id"], name=ASK)], []
    words = harmless(" ".join(answer.split()))[:LONGEST]
    finding = f"Asked “{question}”, the operator said: “{words}”."
    item = Evidence(
        id=f"E{filed + 1}",
        tool=ASK,
        finding=finding,
        numbers={"says": says(answer), "question": question, "answer": words},
    )
    told = ToolMessage(f"[{item.id}] {finding}", tool_call_id=call["id"], name=ASK, artifact=item.model_dump())
    return [asked, told], [item.model_dump()]


def exchanges(evidence: Sequence[Evidence]) -> list[Exchange]:
    """What the operator was asked during an inspection, from its evidence."""
    return [
        Exchange(
            by="agent",
            question=str(item.numbers["question"]),
            answer=str(item.numbers["answer"]),
            evidence=[item.id],
        )
        for item in evidence
        if item.tool == ASK
    ]


def _placed(mark: Region, language: Language) -> str:
    place = place_of(mark.box)
    return place if language == "en" else "".join(PLACES[word] for word in reversed(place.split()))
