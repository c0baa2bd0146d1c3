"""How the embedded planner turns evidence into an answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, ToolMessage

from agent.diagnosis import Defect, Repair, Severity, Submission, Verdict, place_of
from agent.fusion import log_odds, verdict_of
from agent.memory import lowered
from agent.operator import ASK
from tools.evidence import Evidence, Region

# Log-odds. A reference that fits shows a difference of 1.5 times the limit on one good part in twenty or fewer.
DIFFERS = 4.5
NOTHING_DIFFERS = -1.5
UNCONFIRMED = (6.0, 8.0)  # times the limit: pieces of a loose product reach 5.7, faults of a printed pattern begin at 7
UNCONFIRMED_DIFFERS = 9.0  # enough against a map that sees nothing
BESIDE_THE_PART = -2.5
NO_VISIBLE_MARK = -0.3
OPERATOR = {"defect": 6.0, "normal": -6.0, "unclear": 0.0}  # a person who has the part in hand

Suspect = tuple[str, Region]
COMPARE = "compare_with_reference"
MAPS = ("anomaly_map", COMPARE)
SET_ASIDE = "Set the part aside and have a person look at it [general practice]"


def evidence_in(messages: Sequence[BaseMessage]) -> list[Evidence]:
    """All evidence in the tool messages, in order."""
    return [
        Evidence(**message.artifact)
        for message in messages
        if isinstance(message, ToolMessage) and isinstance(message.artifact, dict)
    ]


def answer(evidence: Sequence[Evidence], suspects: Sequence[Suspect]) -> Submission:
    """The submission that the evidence supports; every claim cites the evidence it comes from."""
    probability, reasons = weigh(evidence)
    verdict = verdict_of(probability, "submitted")[0]
    passage = _entry_for(evidence)
    summary = " ".join(text for value, text in reasons if value >= 0 or verdict != "defective")
    opposing = [text for value, text in reasons if (value < 0) == (verdict == "defective") and value != 0]
    return Submission(
        verdict=verdict,
        probability=round(probability, 4),
        defects=[] if verdict == "normal" else [_defect(evidence, suspect, passage) for suspect in suspects[:5]],
        repair=_repair(verdict, passage),
        summary=summary[:1200] or "No tool could say anything about this part.",
        against=(" ".join(opposing) or "Nothing in the evidence speaks against it.")[:600],
    )


def weigh(evidence: Sequence[Evidence]) -> tuple[float, list[tuple[float, str]]]:
    """Probability of a defect, and each finding with the log-odds that it adds (0: it only informs)."""
    reasons = [(_weight(item, evidence), f"{item.finding} [{item.id}]") for item in evidence if not item.passages]
    total = sum(value for value, _ in reasons)
    return 1 / (1 + math.exp(-max(min(total, 12.0), -12.0))), reasons


def _weight(item: Evidence, evidence: Sequence[Evidence]) -> float:
    if item.tool == "anomaly_map" and "probability" in item.numbers:
        odds = lowered(log_odds(float(item.numbers["probability"])), item, evidence)
        # A picture that is like itself says nothing about a reference it was never compared with.
        return odds if item.numbers["references"] else max(odds, 0.0)
    if item.tool == COMPARE and item.above_normal is not None:
        return lowered(_differing(item, evidence), item, evidence) if item.above_normal else NOTHING_DIFFERS
    if item.tool == ASK:
        return OPERATOR[str(item.numbers["says"])]
    if item.tool == "zoom":
        beside = BESIDE_THE_PART if float(item.numbers["on_part"]) < 0.3 else 0.0
        invisible = NO_VISIBLE_MARK if str(item.numbers["looks"]).startswith("no mark") else 0.0
        return (beside + invisible) / sum(other.tool == "zoom" for other in evidence)
    return 0.0


def _differing(item: Evidence, evidence: Sequence[Evidence]) -> float:
    """Log-odds of a difference: one that a map with references does not see must be far stronger to count."""
    strongest = max((region.score for region in item.regions), default=1.0)
    maps = [other for other in evidence if other.tool == "anomaly_map" and other.numbers.get("references")]
    if any(one.above_normal is False for one in maps):
        from_, to = UNCONFIRMED
        return UNCONFIRMED_DIFFERS * min(max((strongest - from_) / (to - from_), 0.0), 1.0)
    return DIFFERS * min((strongest - 1) / 0.5, 1.0)


def _entry_for(evidence: Sequence[Evidence]) -> dict[str, Any] | None:
    """The entry that names the mark, or None; entries that only describe normal variation do not.

    First what the measured words found on the product itself, then the product's most typical defect, then general
    entries; never one on another product.
    """
    first_look = next((number for number, item in enumerate(evidence) if item.tool == "zoom"), len(evidence))
    found = [
        (number > first_look, {**passage, "evidence": item.id})
        for number, item in enumerate(evidence)
        for passage in item.passages
        if passage.get("disposition", "accept") != "accept" and (passage["own"] or not passage["specific"])
    ]
    own = [(measured, passage) for measured, passage in found if passage["own"]]
    ranked = [*sorted(own, key=lambda pair: not pair[0]), *(pair for pair in found if pair[0])]
    return ranked[0][1] if ranked else None


def _defect(evidence: Sequence[Evidence], suspect: Suspect, passage: dict[str, Any] | None) -> Defect:
    found_by, region = suspect
    look = next((item for item in evidence if item.tool == "zoom" and item.regions[0].box.touches(region.box)), None)
    area = float(region.numbers.get("area_percent", 0.0))
    severity: Severity = passage["severity"] if passage else "major" if area > 2 else "minor"
    maps = [item for item in evidence if item.tool in MAPS]
    agreeing = [item.id for item in maps if any(other.box.touches(region.box) for other in item.regions)]
    cited = [found_by, *agreeing, *([look.id] if look else []), *([passage["evidence"]] if passage else [])]
    sections = passage["sections"] if passage else {}
    return Defect(
        type=passage["defect"] if passage else "unidentified deviation",
        box=list(region.box),
        place=place_of(region.box),
        appearance=str(
            look.numbers["described"] if look else f"{region.score:.2f} times the limit of the normal range"
        ),
        severity=severity,
        effect=str(sections.get("effect", "unknown: no knowledge entry fits"))[:600],
        cause=" ".join(sections.get("causes", ["unknown: no knowledge entry fits"])[:2])[:600],
        evidence=list(dict.fromkeys(cited)),
    )


def _repair(verdict: Verdict, passage: dict[str, Any] | None) -> Repair:
    if verdict == "normal":
        return Repair(disposition="accept")
    if passage is None:
        return Repair(disposition="hold", actions=[SET_ASIDE])
    source = f"[{passage['id']}]"
    return Repair(
        disposition="hold" if verdict == "uncertain" else passage["disposition"],
        actions=[f"{action} {source}" for action in passage["sections"]["repair"]],
        prevention=[f"{action} {source}" for action in passage["sections"]["prevention"]],
        knowledge=[passage["id"]],
    )
