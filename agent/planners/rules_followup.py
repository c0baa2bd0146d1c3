"""How the embedded planner answers a question after the diagnosis: it looks where the words point, and cites.

It understands places on the part, ids of evidence, sizes, past cases, and words that the knowledge base knows; it says
so where it understands nothing, instead of guessing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage

from agent.planners.rules_answer import evidence_in
from agent.submission import ANSWER
from tools.evidence import Evidence, Region
from tools.image import Box

Step = tuple[str, list[tuple[str, dict[str, Any]]]]
LONGEST = 600
BEFORE = re.compile(r"\b(?:last|previous|earlier|past|before|again|cases?)\b|上次|上一次|以前|之前|过去|历史", re.I)
SIZE = re.compile(
    r"\b(?:big|small|large|long|wide|size|area|length|width|deep|depth)|多大|多长|多宽|多深|尺寸|大小|面积|长度|深",
    re.I,
)
SECTIONS = {
    "repair": re.compile(r"\b(?:repair|fix|mend|rework|remove|do about)|修|返工|处理|怎么办", re.I),
    "causes": re.compile(r"\b(?:cause|why|come from|reason|origin)|原因|为什么|为何|怎么产生", re.I),
    "effect": re.compile(r"\b(?:effect|harm|matter|dangerous|safe|consequence)|影响|后果|危险|安全", re.I),
    "prevention": re.compile(r"\b(?:prevent|avoid)|预防|避免|防止", re.I),
}
DEEP = re.compile(r"\bdeep|\bdepth|深", re.I)
_ID = re.compile(r"\bE\d+\b")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_LEFT, _RIGHT = re.compile(r"\bleft\b|左", re.I), re.compile(r"\bright\b|右", re.I)
_TOP, _BOTTOM = re.compile(r"\b(?:upper|top)\b|上(?!次|一次)", re.I), re.compile(r"\b(?:lower|bottom)\b|下", re.I)
_MIDDLE = re.compile(r"\b(?:cent(?:er|re)|middle)\b|中间|中央|中心|正中", re.I)
_UNDERSTOOD = (
    "I am the embedded planner without a language model and did not understand the question: I answer about places"
    " (lower right), ids of evidence (E2), sizes, past cases, and what the knowledge base holds. A model answers"
    " freely: /planner."
)
_UNDERSTOOD_ZH = (
    "我是不带语言模型的内置规划器，没有听懂这个问题：我能回答关于位置（右下角）、证据编号（E2）、尺寸、历史案例和知识库内容的问题。"
    "用 /planner 换成语言模型后可自由提问。"
)


def question_in(messages: Sequence[BaseMessage]) -> str | None:
    """The operator's question, as the last message of a person holds it."""
    asked = [message for message in messages if isinstance(message, HumanMessage)]
    found = asked[-1].additional_kwargs.get("question") if asked else None
    return str(found) if found else None


def follow(question: str, messages: Sequence[BaseMessage], offered: Sequence[str]) -> Step:
    """A look or a search that the question asks for, then the answer from what was found."""
    since = max(number for number, message in enumerate(messages) if isinstance(message, HumanMessage))
    new = evidence_in(messages[since:])
    known = evidence_in(messages)
    box = place_in(question)
    if box and not _ID.search(question):
        if not any(item.tool == "zoom" for item in new) and "zoom" in offered:
            names = ["part", *(["reference_1"] if any(item.tool == "compare_with_reference" for item in known) else [])]
            return "Look where the question points.", [("zoom", {"image": name, "box": list(box)}) for name in names]
        return _answered(_of_place(box, known, new))
    direct = list(_direct(question, known))
    if direct:
        return _answered(direct)
    if not any(isinstance(message, ToolMessage) for message in messages[since:]) and "search_knowledge" in offered:
        return "See what the knowledge base holds on that.", [("search_knowledge", {"query": question})]
    found = [told for item in new for told in _told_by(item, question)]
    return _answered(found or [("", _UNDERSTOOD_ZH if _CHINESE.search(question) else _UNDERSTOOD)])


def place_in(question: str) -> Box | None:
    """The part of the picture that the words name, in 0-1000, such as the lower right quarter; None for no place."""
    left, right, top, bottom = (bool(side.search(question)) for side in (_LEFT, _RIGHT, _TOP, _BOTTOM))
    if not (left or right or top or bottom):
        return Box(250, 250, 750, 750) if _MIDDLE.search(question) else None
    x0, x1 = (500 if right and not left else 0), (500 if left and not right else 1000)
    y0, y1 = (500 if bottom and not top else 0), (500 if top and not bottom else 1000)
    return Box(x0, y0, x1, y1)


def _answered(parts: Sequence[tuple[str, str]]) -> Step:
    """The answer with the ids it rests on."""
    words = " ".join(f"{text} [{id_}]" if id_ else text for id_, text in parts)
    ids = list(dict.fromkeys(id_ for id_, _ in parts if id_))
    return "", [(ANSWER, {"answer": words[:LONGEST], "evidence": ids[:12]})]


def _of_place(box: Box, known: Sequence[Evidence], new: Sequence[Evidence]) -> list[tuple[str, str]]:
    """What is known of a place: regions beyond the normal range, and the new looks at it."""
    marked = [(item.id, _told(item, region)) for item, region in _beyond(known) if _inside(region.box, box)]
    nothing = (
        [("", "Nothing there is above the normal range.")]
        if any(item.above_normal is not None for item in known)
        else []
    )
    return [*(marked[:3] or nothing), *((item.id, item.finding) for item in new if item.tool == "zoom")]


def _direct(question: str, known: Sequence[Evidence]) -> Iterator[tuple[str, str]]:
    """Answers that need no new look: named evidence, past cases, sizes."""
    named = set(_ID.findall(question))
    if named:
        yield from ((item.id, item.finding) for item in known if item.id in named)
        return
    if BEFORE.search(question):
        past = [(item.id, item.finding) for item in known if item.tool == "recall_cases"]
        yield from past or [("", "No past case of this product is known: /feedback makes one.")]
    if SIZE.search(question):
        yield from _sizes(known)[:3] or [("", "Nothing was measured yet: name a place, such as the lower right.")]
        if DEEP.search(question):
            yield "", "One photograph does not show depth: the brightness of a mark hints at it, a gauge measures it."


def _sizes(known: Sequence[Evidence]) -> list[tuple[str, str]]:
    """What was measured of the marks beyond the normal range."""
    marks = [region.box for _, region in _beyond(known)]
    return [
        (item.id, item.finding)
        for item in known
        if item.tool in ("zoom", "measure") and any(one.box.touches(mark) for one in item.regions for mark in marks)
    ]


def _beyond(evidence: Sequence[Evidence]) -> Iterator[tuple[Evidence, Region]]:
    return ((item, region) for item in evidence if item.above_normal for region in item.regions)


def _inside(box: Box, place: Box) -> bool:
    x, y = box.middle
    return place.x0 <= x <= place.x1 and place.y0 <= y <= place.y1


def _told(item: Evidence, region: Region) -> str:
    return f"{item.tool}: box {[round(edge) for edge in region.box]} at {region.score:.2f} times the limit."


def _told_by(item: Evidence, question: str) -> Iterator[tuple[str, str]]:
    """The passage that names what the question names, else the first, with the section that is asked for."""
    words = question.lower()
    named = [hit for hit in item.passages if str(hit.get("defect", "")).lower() in words and hit.get("defect")]
    for hit in (named or item.passages)[:1]:
        section = next((name for name, pattern in SECTIONS.items() if pattern.search(question)), "look")
        said = (hit.get("sections") or {}).get(section) or hit["text"]
        text = said if isinstance(said, str) else " ".join(said)
        yield item.id, f"{hit['title']} [{hit['id']}]: {' '.join(text.split())[: LONGEST // 2]}"
