"""What past wrong alarms change: a region that operators know to be harmless counts less."""

from __future__ import annotations

from collections.abc import Sequence

from tools.evidence import Evidence, Region
from tools.image import Box

RECALL = "recall_cases"
NEARLY = 0.8  # of a region's area: what reaches further may hide a defect beside the mark
EACH = 1.0  # log-odds: one confirmation leaves it open, each further one speaks for a good part


def unknown(item: Evidence, evidence: Sequence[Evidence]) -> list[Region]:
    """The regions of a finding that no past wrong alarm explains."""
    return [region for region in item.regions if not _confirmations(region, evidence)]


def lowered(odds: float, item: Evidence, evidence: Sequence[Evidence]) -> float:
    """The log-odds of a finding beyond the normal range; lower when past wrong alarms explain all of its regions."""
    if not item.above_normal or not item.regions or unknown(item, evidence):
        return odds
    fewest = min(_confirmations(region, evidence) for region in item.regions)
    return min(odds, EACH * (1 - fewest))


def _confirmations(region: Region, evidence: Sequence[Evidence]) -> float:
    """How many past wrong alarms were recognised where a region lies."""
    known = [one for item in evidence if item.tool == RECALL for one in item.regions]
    return sum(float(one.numbers["confirmations"]) for one in known if _covers(one.box, region.box))


def _covers(known: Box, box: Box) -> bool:
    """Whether nearly all of a box lies in a known one."""
    width = min(known.x1, box.x1) - max(known.x0, box.x0)
    height = min(known.y1, box.y1) - max(known.y0, box.y0)
    return max(width, 0) * max(height, 0) >= NEARLY * box.area
