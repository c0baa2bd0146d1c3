"""Zero-shot map from one picture: patches that have no like elsewhere in it. Weak evidence, for textures only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tools.detectors import AnomalyMap, Calibration, Pixels
from tools.detectors.features import Backbone, patches
from tools.detectors.normal_range import own_distances
from tools.resample import resized, smoothed

DEVIATIONS = 6.0  # robust standard deviations above the picture's own median
CERTAINTY = 0.6  # log-odds: alone it never says much more than "look at this"
DOUBT = 0.5  # of the limit: a score has to be far beyond it before it means much


@dataclass(frozen=True)
class SelfSimilarity:
    """Scores a picture without any reference; its normal range is the picture's own bulk."""

    backbone: Backbone
    size: int = 256

    def score(self, pixels: Pixels) -> AnomalyMap:
        """AnomalyMap of an RGB picture (H, W, 3) uint8; its limit is median + 6 robust deviations of the same map."""
        distances = own_distances(patches([pixels], self.backbone, self.size)[0])
        scores = smoothed(resized(distances, self.size, self.size), 4.0)
        median = float(np.median(scores))
        deviation = 1.4826 * float(np.median(np.abs(scores - median)))
        limit = max(median + DEVIATIONS * deviation, 1e-3)
        calibration = Calibration(limit, DOUBT * limit, CERTAINTY, "the picture's own bulk, no reference", 0)
        height, width = pixels.shape[:2]
        return AnomalyMap(
            resized(scores, height, width), float(scores.max()), f"self-similarity {self.backbone.name}", calibration
        )
