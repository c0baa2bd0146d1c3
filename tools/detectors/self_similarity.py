"""Zero-shot map from one picture: patches that have no like elsewhere in it. Weak evidence, for textures only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tools.detectors import AnomalyMap, Calibration, Fitted, Floats, Pixels
from tools.detectors.features import Backbone, OnnxBackbone, patches
from tools.detectors.normal_range import own_distances
from tools.resample import resized, smoothed

MARGIN = 64  # pixels around the resized picture
LEAST_LIMIT = 6.0  # feature distance: a picture without any structure reaches 2, the plainest texture 12
DEVIATIONS = 6.0  # robust standard deviations above the picture's own median
CERTAINTY = 0.6  # log-odds: alone it never says much more than "look at this"
DOUBT = 0.5  # of the limit: a score has to be far beyond it before it means much


@dataclass(frozen=True)
class SelfSimilarity:
    """Scores a picture without any reference; its normal range is the picture's own bulk."""

    backbone: Backbone
    size: int = 256

    @property
    def calibration(self) -> Calibration:
        """The range of a picture without any structure; each picture's own is in its map."""
        return _range(LEAST_LIMIT)

    def score_batch(self, pictures: Sequence[Pixels]) -> list[AnomalyMap]:
        """The maps of several pictures, one after the other."""
        return [self.score(pixels) for pixels in pictures]

    def fitted(self) -> Fitted:
        """No arrays: no good part was seen."""
        return Fitted({}, {"calibration": self.calibration.plain()})

    def score(self, pixels: Pixels) -> AnomalyMap:
        """AnomalyMap of an RGB picture (H, W, 3) uint8; its limit is median + 6 robust deviations of the same map."""
        distances = own_distances(self._grid(pixels))
        scores = smoothed(resized(distances, self.size, self.size), 4.0)
        median = float(np.median(scores))
        deviation = 1.4826 * float(np.median(np.abs(scores - median)))
        limit = max(median + DEVIATIONS * deviation, LEAST_LIMIT)
        height, width = pixels.shape[:2]
        return AnomalyMap(
            resized(scores, height, width), float(scores.max()), f"self-similarity {self.backbone.name}", _range(limit)
        )

    def _grid(self, pixels: Pixels) -> Floats:
        """Patch features of the picture; a mirrored margin keeps the network's own borders out of them."""
        whole = resized(pixels, self.size, self.size)
        framed = np.pad(whole, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="reflect")
        cells = MARGIN // 8
        grid = patches([framed], self.backbone, self.size + 2 * MARGIN)[0]
        return np.ascontiguousarray(grid[cells:-cells, cells:-cells])


def without_references(backbone: Backbone) -> SelfSimilarity:
    """The map of a product without good parts; by the packaged features where the backbone is no convolutional one."""
    alike = (backbone.step, backbone.size) == (OnnxBackbone.step, OnnxBackbone.size)
    return SelfSimilarity(backbone if alike else OnnxBackbone())


def _range(limit: float) -> Calibration:
    return Calibration(limit, DOUBT * limit, 1, CERTAINTY, "the picture's own bulk, no reference", 0)
