"""From evidence and the planner's answer to the verdict: outside the planner, with all three numbers kept.

Both probabilities are combined in log-odds, with equal weights unless the procedure says otherwise. Around one half, or
where the product's profile puts it, lies the review band: there the verdict is `uncertain` and a person looks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from agent.diagnosis import REVIEW_BAND, Disposition, Outcome, Repair, Scores, Submission, Verdict
from agent.memory import lowered
from tools.evidence import Evidence

CERTAIN = 0.001  # no source is believed beyond this


def detector_probability(evidence: Sequence[Evidence]) -> float | None:
    """The calibrated probability of the first anomaly map that could tell, if there is one.

    Regions that are known wrong alarms lower it.
    """
    maps = [item for item in evidence if item.tool == "anomaly_map" and "probability" in item.numbers]
    if not maps:
        return None
    probability = float(maps[0].numbers["probability"])
    odds = log_odds(probability)
    known = lowered(odds, maps[0], evidence)
    return probability if known == odds else 1 / (1 + math.exp(-known))


def fuse(detector: float | None, planner: float | None, weight: float = 0.5) -> float | None:
    """Mean of the log-odds of whichever probabilities there are; `weight` (0-1) is the detector's share."""
    weighed = [(share, value) for share, value in ((weight, detector), (1 - weight, planner)) if value is not None]
    whole = sum(share for share, _ in weighed)
    if not whole:
        return None
    return 1 / (1 + math.exp(-sum(share * log_odds(value) for share, value in weighed) / whole))


def log_odds(probability: float) -> float:
    """Log-odds of a probability, kept within 0.001 and 0.999."""
    clipped = min(max(probability, CERTAIN), 1 - CERTAIN)
    return math.log(clipped / (1 - clipped))


def verdict_of(
    fused: float | None, outcome: Outcome, review: tuple[float, float] = REVIEW_BAND
) -> tuple[Verdict, float]:
    """Verdict and its confidence; between the `review` probabilities and without an answer it is uncertain."""
    if fused is None or outcome != "submitted":
        return "uncertain", 0.0
    low, high = review
    if low < fused < high:
        return "uncertain", 1 - abs(fused - 0.5) * 2
    return ("defective", fused) if fused >= high else ("normal", 1 - fused)


def settle(submission: Submission, verdict: Verdict) -> Submission:
    """The planner's answer, in line with the fused verdict: no defects on a normal part, hold when uncertain."""
    if verdict == "normal":
        accept = Repair(disposition="accept", knowledge=submission.repair.knowledge)
        return submission.model_copy(update={"defects": [], "repair": accept})
    disposition: Disposition = submission.repair.disposition
    if verdict == "uncertain" or disposition == "accept":
        disposition = "hold"
    return submission.model_copy(update={"repair": submission.repair.model_copy(update={"disposition": disposition})})


def scores(evidence: Sequence[Evidence], submission: Submission | None, weight: float = 0.5) -> Scores:
    """The three numbers of a result; `weight` (0-1) is the detector's share in the fused one."""
    detector = detector_probability(evidence)
    planner = submission.probability if submission else None
    return Scores(detector=detector, planner=planner, fused=fuse(detector, planner, weight))
