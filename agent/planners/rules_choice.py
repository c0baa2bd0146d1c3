"""How the embedded planner answers a multiple-choice question: from the evidence, or "no opinion".

Whether there is a defect from the fused probability, where it is from the regions, and the rest by how near each
option's text is to what was measured and retrieved. It sees neither the file's name nor the folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agent.fusion import detector_probability, fuse
from agent.planners.rules_answer import Suspect, weigh
from knowledge_base.embedding import Vector, embed_passages, embed_query, text_key
from knowledge_base.objects import likeness
from tools.evidence import Evidence

_YES, _NO = re.compile(r"^\W*yes\b", re.I), re.compile(r"^\W*no\b", re.I)
_VERDICT = re.compile(
    r"\b(?:any|is there|are there|has|have|contain)\b.*\b(?:defect|anomal|flaw|damage|abnormal)", re.I
)
_PLACE = re.compile(r"\bwhere\b|\b(?:location|position|part of the (?:image|object|picture))\b", re.I)
_KIND = re.compile(r"\b(?:type|kind|category)\b.*\b(?:defect|anomal|flaw)|\b(?:appearance|look)\b.*\bdefect", re.I)
_OBJECT = re.compile(r"\bwhat (?:is|kind of|type of) (?:the |an? )?(?:object|product|item)\b", re.I)
SIDES = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "upper": (0, -1), "bottom": (0, 1), "lower": (0, 1)}
CENTRE = re.compile(r"\b(?:cent(?:er|re|ral)|middle)\b", re.I)
OUT = 1 / 3  # of the picture, from the middle to where a side is


def choose(
    question: str,
    options: Mapping[str, str],
    facts: Mapping[str, str],
    evidence: Sequence[Evidence],
    suspects: Sequence[Suspect],
) -> tuple[str | None, str]:
    """Letter of the option that the evidence supports and why, or None and "no opinion"."""
    if _PLACE.search(question):
        found = _placed(options, facts, suspects)
    elif _OBJECT.search(question):
        found = _best(likeness(options, facts["part"], "objects"))
    elif _VERDICT.search(question) or all(_YES.match(one) or _NO.match(one) for one in options.values()):
        found = _whether(options, evidence)
    elif _KIND.search(question):
        found = _described(options, facts, evidence)
    else:
        found = None
    return (found, f"{found}: {options[found]}") if found else (None, "no opinion")


def _whether(options: Mapping[str, str], evidence: Sequence[Evidence]) -> str | None:
    if not evidence:
        return None
    alone = next((float(item.numbers["unlike_itself"]) for item in evidence if "unlike_itself" in item.numbers), None)
    told = detector_probability(evidence)
    fused = fuse(alone if told is None else told, weigh(evidence)[0]) or 0.0
    wanted = _YES if fused >= 0.5 else _NO
    return next((letter for letter, text in options.items() if wanted.match(text)), None)


def _placed(options: Mapping[str, str], facts: Mapping[str, str], suspects: Sequence[Suspect]) -> str | None:
    """The option whose place is nearest to the strongest region, else to the hottest place of the map."""
    if suspects:
        x, y = suspects[0][1].box.middle
    elif "hottest" in facts:
        x, y = (float(value) for value in facts["hottest"].split())
    else:
        return None
    places = {letter: place for letter, text in options.items() if (place := _place(text)) is not None}
    return _best({letter: -float(np.hypot(x / 1000 - px, y / 1000 - py)) for letter, (px, py) in places.items()})


def _place(text: str) -> tuple[float, float] | None:
    """Middle (x, y in 0-1) of the place that a text names in a 3 x 3 grid."""
    words = re.findall(r"[a-z]+", text.lower())
    steps = [SIDES[word] for word in words if word in SIDES]
    if not steps and not CENTRE.search(text):
        return None
    return 0.5 + OUT * sum(step[0] for step in steps), 0.5 + OUT * sum(step[1] for step in steps)


def _described(options: Mapping[str, str], facts: Mapping[str, str], evidence: Sequence[Evidence]) -> str | None:
    """The option whose defect looks most like the measured mark; of equal ones the nearest in meaning."""
    marks = [str(item.numbers["described"]) for item in evidence if item.tool == "zoom"][:1]
    mark = [*marks, facts.get("mark", "")][0]
    if not mark:
        return None
    fits = likeness(options, mark, "defects")
    nearness = zip(options, _nearness(f"defect: {mark}", options), strict=True)
    return _best({letter: fits[letter] + float(near) for letter, near in nearness})


def _nearness(query: str, options: Mapping[str, str]) -> Vector:
    """Cosines (n,) of the options' texts with a query, less their mean."""
    vectors = embed_passages(options.values(), {})
    cosines = np.stack([vectors[text_key(text)] for text in options.values()]) @ embed_query(query)
    return np.asarray(cosines - cosines.mean(), np.float32)


def _best(scores: Mapping[str, float]) -> str | None:
    """The letter with the highest score, None where nothing sets one apart."""
    ranked = sorted(scores.values(), reverse=True)
    if not ranked or (len(ranked) > 1 and ranked[0] == ranked[1]):
        return None
    return max(scores, key=lambda letter: scores[letter])


def choice_in(message: Any) -> dict[str, Any] | None:
    """The choice that a message asks for."""
    found = getattr(message, "additional_kwargs", {}).get("choice")
    return found if isinstance(found, dict) else None
