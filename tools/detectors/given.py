"""A map that was given instead of computed: the places that an expert marked on a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from tools.detectors import AnomalyMap, Calibration, Fitted, Floats, Pixels
from tools.resample import resized

LIMIT = 1.0
MARKED = 2.0  # score at the edge of a mark, one more in the middle of the thickest
SPREAD, FREEDOM = 0.25, 30.0
NEUTRAL = 1e-6  # log-odds: a map that says nothing about the verdict

Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class GivenMap:
    """A detector that shows `marks` (h, w) bool, stretched over any picture; without one the map is empty.

    `words` are what the marks mean, for the planner; `certainty` is how much (log-odds) their presence tells.
    """

    marks: Marks
    words: str
    certainty: float = NEUTRAL
    name: ClassVar[str] = "marks of an expert"

    @property
    def calibration(self) -> Calibration:
        """No normal range: only what is marked lies above the limit."""
        return Calibration(LIMIT, SPREAD, FREEDOM, self.certainty, self.name, 0)

    def score(self, pixels: Pixels) -> AnomalyMap:
        """The map of one picture: 0 outside the marks, 2 to 3 inside."""
        scores = _heights(_stretched(self.marks, *pixels.shape[:2]))
        return AnomalyMap(scores, float(scores.max()), self.name, self.calibration, self.words)

    def score_batch(self, pictures: Sequence[Pixels]) -> list[AnomalyMap]:
        """The same marks on several pictures."""
        return [self.score(pixels) for pixels in pictures]

    def fitted(self) -> Fitted:
        """No arrays: no good part was seen."""
        return Fitted({}, {"calibration": self.calibration.plain()})


def _stretched(marks: Marks, height: int, width: int) -> Marks:
    """The nearest marks at another size; a mark too thin for it is kept rather than lost."""
    nearest = cv2.resize(marks.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT) > 0
    return nearest if nearest.any() else resized(marks.astype(np.float32), height, width) > 0


def _heights(marks: Marks) -> Floats:
    """Scores that are highest where a mark is deepest, counted from the picture's edges too."""
    framed = np.pad(marks.astype(np.uint8), 1)
    depth = np.asarray(cv2.distanceTransform(framed, cv2.DIST_L2, 3), np.float32)[1:-1, 1:-1]
    return np.where(marks, MARKED + depth / (float(depth.max()) or 1.0), 0).astype(np.float32)
