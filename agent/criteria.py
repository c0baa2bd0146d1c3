"""Limits of knowledge entries, applied to what was measured: they decide severity and disposition, not the planner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from agent.diagnosis import Criterion, Defect, Disposition, Severity, Submission, Verdict
from knowledge_base.limits import Limit
from tools.evidence import Evidence
from tools.image import Box

# From the mildest to the strictest; a part on hold may still turn out to be scrap.
STRICTNESS: Sequence[Disposition] = ("accept", "rework", "repair", "hold", "scrap")
SEVERITIES: Sequence[Severity] = get_args(Severity)
MEASURED_BY = ("measure", "zoom")
Passage = dict[str, Any]


def judge(submission: Submission, verdict: Verdict, evidence: Sequence[Evidence]) -> tuple[Submission, list[Criterion]]:
    """The answer with severity and disposition as the limits want them, and every limit that was applied.

    Limits are those of the retrieved entries on a defect's type, or else of those that the answer cites. Of several
    entries the strictest counts. A limit whose measure is not known puts the part on hold. An uncertain verdict stays
    on hold.
    """
    criteria: list[Criterion] = []
    defects, dispositions = [], []
    for number, defect in enumerate(submission.defects, 1):
        entries = _entries_on(defect, submission, evidence)
        applied = [(entry, limit) for entry in entries for limit in _limits(entry, defect.box)]
        found = [_applied(number, entry["id"], limit, submission.defects, evidence) for entry, limit in applied]
        criteria += found
        severities, wanted = _wanted(applied, found, entries)
        defects.append(defect.model_copy(update={"severity": _strictest(severities, SEVERITIES) or defect.severity}))
        dispositions.append(_strictest(wanted, STRICTNESS) or submission.repair.disposition)
    if not criteria:
        return submission, []
    disposition = "hold" if verdict == "uncertain" else _strictest(dispositions, STRICTNESS)
    repair = submission.repair.model_copy(update={"disposition": disposition})
    return submission.model_copy(update={"defects": defects, "repair": repair}), criteria


def _entries_on(defect: Defect, submission: Submission, evidence: Sequence[Evidence]) -> list[Passage]:
    """The entries with limits that are about a defect: those of its name, else those that the answer cites."""
    passages = {passage["id"]: passage for item in evidence for passage in item.passages if passage.get("limits")}
    named = [one for one in passages.values() if str(one["defect"]).casefold() == defect.type.casefold()]
    return named or [one for id_, one in passages.items() if id_ in submission.repair.knowledge]


def _limits(entry: Passage, box: list[float]) -> Iterator[Limit]:
    """The limits of an entry that hold at this place of the part."""
    x, y = Box(*box).middle
    for limit in (Limit.model_validate(told) for told in entry["limits"]):
        if limit.zone is None or (limit.zone[0] <= x <= limit.zone[2] and limit.zone[1] <= y <= limit.zone[3]):
            yield limit


def _applied(
    number: int, knowledge: str, limit: Limit, defects: Sequence[Defect], evidence: Sequence[Evidence]
) -> Criterion:
    defect = defects[number - 1]
    if limit.measure == "count":
        alike = sum(other.type.casefold() == defect.type.casefold() for other in defects)
        measured: tuple[float, str] | None = (float(alike), "")
    else:
        measured = _measured(limit.measure, defect, evidence)
    return Criterion(
        defect=number,
        knowledge=knowledge,
        limit=limit.words(),
        measured=measured[0] if measured else None,
        evidence=measured[1] if measured else "",
        exceeded=measured[0] > limit.over if measured else None,
    )


def _measured(name: str, defect: Defect, evidence: Sequence[Evidence]) -> tuple[float, str] | None:
    """The largest value of a measure in the regions that touch a defect, of the tool that measures best, and its id."""
    for tool in MEASURED_BY:
        found = [
            (float(region.numbers[name]), item.id)
            for item in evidence
            for region in item.regions
            if item.tool == tool and name in region.numbers and region.box.touches(Box(*defect.box))
        ]
        if found:
            return max(found)
    return None


def _wanted(
    applied: Sequence[tuple[Passage, Limit]], criteria: Sequence[Criterion], entries: Sequence[Passage]
) -> tuple[list[str], list[str]]:
    """Severities and dispositions that the limits ask for; where no limit says one, the entry's usual one holds."""
    severities: list[str] = []
    dispositions: list[str] = []
    for entry in entries:
        own = [(limit, one) for (of, limit), one in zip(applied, criteria, strict=True) if of is entry]
        over = [limit for limit, one in own if one.exceeded]
        if own:
            severities += [limit.severity for limit in over if limit.severity] or [entry["severity"]]
            dispositions += [limit.disposition for limit in over if limit.disposition] or [entry["disposition"]]
            dispositions += ["hold" for _, one in own if one.exceeded is None]
    return severities, dispositions


def _strictest(values: Sequence[str], order: Sequence[str]) -> str | None:
    return max(values, key=order.index, default=None)
