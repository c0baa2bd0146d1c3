"""Detectors: picture in, AnomalyMap out; every score comes with the normal range of its product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Calibration:
    """The normal range of a product, in the detector's raw units.

    `limit` is the edge of the normal range for the peak of a map, `spread` the raw distance that counts as one unit
    of doubt around it, `certainty` the log-odds that no score exceeds (few references cannot make certain), `method`
    says in words what the range was taken from, `normals` how many references.
    """

    limit: float
    spread: float
    certainty: float
    method: str
    normals: int

    def probability(self, score: float) -> float:
        """Probability of a defect: 0.5 at the limit, rising with the score, never beyond what `certainty` allows."""
        units = (score - self.limit) / self.spread
        return float(1 / (1 + np.exp(-self.certainty * np.tanh(units / self.certainty))))


@dataclass(frozen=True)
class AnomalyMap:
    """Anomaly scores of one picture.

    `scores` is (H, W) float32 at the picture's own size, `image_score` the raw score of the whole picture (both in
    the detector's units), `detector` its name. Nothing is normalised per picture.
    """

    scores: Floats
    image_score: float
    detector: str
    calibration: Calibration

    @property
    def above_normal(self) -> bool:
        """Whether the picture lies beyond the normal range."""
        return self.image_score > self.calibration.limit

    @property
    def probability(self) -> float:
        """Calibrated probability of a defect, 0-1."""
        return self.calibration.probability(self.image_score)


class Detector(Protocol):
    """Anything that turns an upright RGB picture (H, W, 3) uint8 into an AnomalyMap of the same height and width."""

    def score(self, pixels: Pixels) -> AnomalyMap: ...
