"""PatchCore: the distance of every patch to the nearest patch of the references.

Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022 (arXiv 2106.08265). The bank knows which
reference each row came from, so that the normal range can be taken by leaving one reference out at a time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tools.detectors import AnomalyMap, Calibration, Floats, Pixels
from tools.detectors.features import Backbone, patches
from tools.detectors.nearest import coreset, nearest
from tools.detectors.normal_range import from_copies, from_left_out, moved_copies, own_distances
from tools.resample import resized, smoothed

SMOOTHING = 4.0  # sigma in pixels of the resized picture, PatchCore section 3.3
FULL_BANK_UP_TO = 4  # references whose patches are all kept
CORESET = 0.1
BANK_ROWS = 4000
COPIED = 3  # references whose moved copies widen the normal range


class BankError(Exception):
    """A stored bank does not fit: path, cause and remedy in one line."""

    def __init__(self, path: Path, cause: str, remedy: str) -> None:
        super().__init__(f"{path}: {cause}; {remedy}")


@dataclass(frozen=True)
class PatchCore:
    """A fitted bank: `bank` (M, C) float32 rows, `owner` (M,) the reference of each row, `size` the side in pixels."""

    bank: Floats
    owner: npt.NDArray[np.int64]
    backbone: Backbone
    size: int
    calibration: Calibration

    def score(self, pixels: Pixels) -> AnomalyMap:
        """AnomalyMap of an RGB picture (H, W, 3) uint8 of any size; the image score is the peak of the map."""
        grid = patches([pixels], self.backbone, self.size)[0]
        scores = _smooth(nearest(_rows(grid), self.bank)[0].reshape(grid.shape[:2]), self.size)
        height, width = pixels.shape[:2]
        return AnomalyMap(
            resized(scores, height, width), float(scores.max()), f"PatchCore {self.backbone.name}", self.calibration
        )

    def save(self, path: Path) -> None:
        """Write bank, settings and calibration as one safetensors file, atomically."""
        from safetensors.numpy import save_file

        settings = {
            "backbone": self.backbone.name,
            "size": self.size,
            "calibration": asdict(self.calibration),
        }
        partial = path.with_name(path.name + ".partial")
        save_file({"bank": self.bank, "owner": self.owner}, partial, {"patchcore": json.dumps(settings)})
        os.replace(partial, path)

    @classmethod
    def load(cls, path: Path, backbone: Backbone) -> PatchCore:
        """Read a saved bank; BankError when the file is broken or was made with another backbone."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as file:
                settings = json.loads(file.metadata()["patchcore"])
                bank, owner = file.get_tensor("bank"), file.get_tensor("owner")
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise BankError(path, f"not a readable bank ({error})", "fit it again from the references") from error
        if settings["backbone"] != backbone.name:
            cause = f"made with {settings['backbone']}, this is {backbone.name}"
            raise BankError(path, cause, "fit it again from the references")
        return cls(bank, owner, backbone, settings["size"], Calibration(**settings["calibration"]))


def fit(references: Sequence[Pixels], backbone: Backbone, *, size: int = 256, seed: int = 0) -> PatchCore:
    """PatchCore over 1..N good pictures, each (H, W, 3) uint8; up to 4 keep every patch, more a 10 % coreset.

    References are read in one pass and only their patch features are kept (600 kB a picture at 256 px).
    """
    grids = np.concatenate([patches([reference], backbone, size) for reference in references])
    bank, owner = _bank(grids, seed)

    def peak(grid: Floats, among: npt.NDArray[np.bool_] | None = None) -> float:
        distances = nearest(_rows(grid), bank, among=among)[0]
        return float(_smooth(distances.reshape(grid.shape[:2]), size).max())

    moved = [copy for reference in references[:COPIED] for copy in moved_copies(reference)]
    copies = [peak(patches([copy], backbone, size)[0]) for copy in moved]
    if len(references) > 1:
        calibration = from_left_out([peak(grid, owner != index) for index, grid in enumerate(grids)], copies)
    else:
        own = float(np.quantile(_smooth(own_distances(grids[0]), size), 0.99))
        calibration = from_copies(copies, own)
    return PatchCore(bank, owner, backbone, size, calibration)


def _bank(grids: Floats, seed: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    rows = grids.reshape(-1, grids.shape[-1])
    owner = np.repeat(np.arange(len(grids)), len(rows) // len(grids))
    if len(grids) <= FULL_BANK_UP_TO:
        return rows, owner
    kept = coreset(rows, min(BANK_ROWS, int(len(rows) * CORESET)), seed=seed)
    return np.ascontiguousarray(rows[kept]), owner[kept]


def _rows(grid: Floats) -> Floats:
    return grid.reshape(-1, grid.shape[-1])


def _smooth(distances: Floats, size: int) -> Floats:
    return smoothed(resized(distances, size, size), SMOOTHING)
