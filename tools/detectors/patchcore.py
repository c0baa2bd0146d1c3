"""Plain PatchCore: the distance of every patch to the nearest patch of the references.

Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022 (arXiv 2106.08265). The image score is the
peak of the map; the paper's re-weighting of it by the neighbourhood in the bank is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tools.detectors import AnomalyMap, Calibration, Detector, Fitted, Floats, Pixels, Pose
from tools.detectors.features import Backbone, patches
from tools.detectors.held import BANK_ROWS, View, bank_of, hold, rows_of, thinned
from tools.detectors.nearest import nearest
from tools.detectors.normal_range import from_copies, from_left_out, moved_copies, own_distances
from tools.detectors.self_similarity import without_references
from tools.resample import resized, smoothed

SMOOTHING = 4.0  # sigma in pixels of the resized picture, PatchCore section 3.3
FULL_BANK_UP_TO = 4  # references whose patches all stay in the bank
CORESET = 0.1


@dataclass(frozen=True, eq=False)
class PatchCore:
    """A fitted bank: `bank` (M, C) float32 rows, `size` the side in pixels of the resized picture."""

    bank: Floats
    backbone: Backbone
    size: int
    calibration: Calibration

    def score(self, pixels: Pixels) -> AnomalyMap:
        """AnomalyMap of an RGB picture (H, W, 3) uint8 of any size; the image score is the peak of the map."""
        return self.score_batch([pixels])[0]

    def score_batch(self, pictures: Sequence[Pixels]) -> list[AnomalyMap]:
        """The maps of several pictures, whose features are taken together."""
        return [
            self._mapped(grid, pixels)
            for grid, pixels in zip(patches(pictures, self.backbone, self.size), pictures, strict=True)
        ]

    def _mapped(self, grid: Floats, pixels: Pixels) -> AnomalyMap:
        scores = _smooth(nearest(rows_of(grid), self.bank)[0].reshape(grid.shape[:2]), self.size)
        height, width = pixels.shape[:2]
        name = f"PatchCore {self.backbone.name}"
        return AnomalyMap(resized(scores, height, width), float(scores.max()), name, self.calibration)

    def fitted(self) -> Fitted:
        """Bank, size and calibration."""
        return Fitted({"bank": self.bank}, {"size": self.size, "calibration": self.calibration.plain()})


@dataclass(frozen=True)
class PatchCoreMethod:
    """Plain PatchCore with the features of `backbone`; pictures are `size` pixels a side, a multiple of its step."""

    backbone: Backbone
    size: int
    seed: int = 0

    @property
    def name(self) -> str:
        """Method, size and weights."""
        return f"PatchCore {self.size} px, {self.backbone.name}"

    def fit(self, references: Sequence[Pixels], *, product: str | None = None, pose: Pose = "auto") -> Detector:
        """PatchCore over 1..N good pictures (without any: self-similarity).

        Up to 4 keep every patch, more a 10 % coreset of at most 4,000 rows.

        Of more than 51,200 patches (31 MB) a random share of each picture is held; `calibration.method` says so.
        """
        if not references:
            return without_references(self.backbone)
        count = len(references)
        held = hold(references, lambda _, one: [self._view(one)], count, self.seed)
        rows = len(held.rows) if count <= FULL_BANK_UP_TO else min(BANK_ROWS, int(len(held.rows) * CORESET))
        bank, owner = thinned(held, rows, self.seed)
        calibration = _normal_range(self, references, held.whole, bank, owner)
        method = "; ".join([calibration.method, *held.notices])
        return PatchCore(bank, self.backbone, self.size, replace(calibration, normals=count, method=method))

    def _view(self, reference: Pixels) -> View:
        grid = patches([reference], self.backbone, self.size)[0]
        return View(grid, rows_of(grid))

    def restored(self, fitted: Fitted) -> PatchCore:
        """The detector with this bank."""
        calibration = Calibration.of(fitted.settings)
        return PatchCore(bank_of(fitted), self.backbone, fitted.settings["size"], calibration)


def _normal_range(
    method: PatchCoreMethod,
    references: Sequence[Pixels],
    whole: dict[int, Floats],
    bank: Floats,
    owner: npt.NDArray[np.int64],
) -> Calibration:
    def peak(grid: Floats, among: npt.NDArray[np.bool_] | None = None) -> float:
        distances = nearest(rows_of(grid), bank, among=among)[0]
        return float(_smooth(distances.reshape(grid.shape[:2]), method.size).max())

    if len(whole) > 1:
        return from_left_out([peak(grid, owner != index) for index, grid in whole.items()])
    copies = [peak(patches([copy], method.backbone, method.size)[0]) for copy in moved_copies(references[0])]
    own = float(np.quantile(_smooth(own_distances(whole[0]), method.size), 0.99))
    return from_copies(copies, own)


def _smooth(distances: Floats, size: int) -> Floats:
    """The map (size, size); cells are repeated, not interpolated, so that it equals anomalib's."""
    cell = size // len(distances)
    return smoothed(np.repeat(np.repeat(distances, cell, axis=0), cell, axis=1), SMOOTHING)
