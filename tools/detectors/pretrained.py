"""Detectors that come trained and learn nothing from good parts: these only tell how high good parts score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from tools.detectors import AnomalyMap, Calibration, Detector, Fitted, Floats, Pixels, Pose
from tools.detectors.normal_range import from_scores
from tools.resample import resized

CERTAINTY = 1.0  # log-odds: without a good part it is a hint
SPREAD = 0.15  # of scores in 0-1
LEAST = 1e-4  # of a limit
UNCALIBRATED = Calibration(0.5, SPREAD, 4, CERTAINTY, "the detector's own boundary, no reference", 0, map_limit=0.5)


class Reader(Protocol):
    """`name` tells method and weights; `known` is what it works out once a product, such as directions of sentences."""

    @property
    def name(self) -> str: ...

    def known(self, product: str | None) -> Floats: ...

    def read(self, pixels: Pixels, known: Floats) -> tuple[Floats, float]:
        """A map (h, w) of the whole picture, higher where defective, and the image score."""
        ...


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A reader with what it knows of one product."""

    reader: Reader
    known: Floats
    calibration: Calibration

    def score(self, pixels: Pixels) -> AnomalyMap:
        """AnomalyMap of an RGB picture (H, W, 3) uint8; map and image score have limits of their own."""
        scores, image_score = self.reader.read(pixels, self.known)
        height, width = pixels.shape[:2]
        return AnomalyMap(resized(scores, height, width), image_score, self.reader.name, self.calibration)

    def score_batch(self, pictures: Sequence[Pixels]) -> list[AnomalyMap]:
        """The maps of several pictures, one after the other."""
        return [self.score(pixels) for pixels in pictures]

    def fitted(self) -> Fitted:
        """What is known, and the calibration."""
        return Fitted({"known": self.known}, {"calibration": self.calibration.plain()})


@dataclass(frozen=True)
class PretrainedMethod:
    """Detection by `reader`, calibrated on good parts where there are some."""

    reader: Reader

    @property
    def name(self) -> str:
        """Method and weights."""
        return self.reader.name

    def fit(self, references: Sequence[Pixels], *, product: str | None = None, pose: Pose = "auto") -> Detector:
        """The detector of a product, whose 0..N good parts are scored once, in order."""
        plain = Pretrained(self.reader, self.reader.known(product), UNCALIBRATED)
        if not len(references):
            return plain
        found = [self.reader.read(references[index], plain.known) for index in range(len(references))]
        calibration = from_scores([score for _, score in found], LEAST)
        map_limit = from_scores([float(scores.max()) for scores, _ in found], LEAST).limit
        return replace(plain, calibration=replace(calibration, map_limit=map_limit))

    def restored(self, fitted: Fitted) -> Pretrained:
        """The detector with what was known; it is not worked out again."""
        known = np.asarray(fitted.arrays["known"], np.float32)
        return Pretrained(self.reader, known, Calibration.of(fitted.settings))
