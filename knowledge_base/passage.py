"""The short text of an entry that a planner reads and a diagnosis cites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from knowledge_base.entry import SECTION_HEADINGS, Entry, Language

MOST_CHARACTERS: Final = 900

_PARTS: Final = ("looks", "look_alikes", "causes", "repair")
_GAPS: Final = " 。;,、"


@dataclass(frozen=True)
class Passage:
    """One entry that answers a query, in one language.

    `score` is the relevance, 0 (none) to 1 (the entry's own words); hits are not strictly in its order.
    `product` is the product asked for when the entry names it, otherwise the first that it names, otherwise
    its family. `text`, at most 900 characters, says how the defect looks, what resembles it, its causes and its
    repair; `source` is what to cite.
    """

    id: str
    title: str
    product: str
    defect: str
    language: Language
    score: float
    text: str
    source: str


def passage(entry: Entry, language: Language, product: str, score: float) -> Passage:
    """What an entry says in a language, as an answer about `product`."""
    return Passage(
        id=entry.id,
        title=entry.title[language],
        product=product,
        defect=entry.defect,
        language=language,
        score=score,
        text=_text(entry, language),
        source=entry.source,
    )


def _text(entry: Entry, language: Language) -> str:
    """A line each for look, look-alikes, causes and repair, the longest ones cut to fit."""
    lines = [_line(entry, language, field) for field in _PARTS] + _limits(entry, language)
    room = MOST_CHARACTERS - len(lines)
    widths = {}
    for left, line in zip(range(len(lines), 0, -1), sorted(lines, key=len), strict=True):
        widths[line] = min(len(line), room // left)
        room -= widths[line]
    return "\n".join(_cut(line, widths[line]) for line in lines)


def _line(entry: Entry, language: Language, field: str) -> str:
    said: str | tuple[str, ...] = getattr(entry.sections[language], field)
    colon, stop = (": ", "; ") if language == "en" else (":", ";")
    said = said if isinstance(said, str) else stop.join(point.rstrip(".。") for point in said)
    return SECTION_HEADINGS[language][field] + colon + " ".join(said.split())


def _limits(entry: Entry, language: Language) -> list[str]:
    """A line for the limits, where an entry has any."""
    said = "; ".join(limit.words() for limit in entry.limits)
    return [("Limits: " if language == "en" else "限度:") + said] if said else []


def _cut(line: str, width: int) -> str:
    """The line, or its beginning up to a gap between words, with an ellipsis."""
    if len(line) <= width:
        return line
    kept = line[: width - 1]
    gap = max(kept.rfind(mark) for mark in _GAPS)
    return kept[: gap if gap > 0 else len(kept)] + "…"
