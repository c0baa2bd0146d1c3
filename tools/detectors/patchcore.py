"""PatchCore: the distance of every patch to the nearest patch of the references.

Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022 (arXiv 2106.08265). The bank knows which
reference each row came from, so that the normal range can be taken by leaving one reference out at a time.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tools.detectors import AnomalyMap, Calibration, Floats, Pixels
from tools.detectors.features import Backbone, patches
from tools.detectors.nearest import coreset, nearest
from tools.detectors.normal_range import from_copies, from_left_out, moved_copies, own_distances
from tools.detectors.orientation import TURNS, lies_in_any_orientation, turned_copies
from tools.resample import resized, smoothed

SMOOTHING = 4.0  # sigma in pixels of the resized picture, PatchCore section 3.3
MOST_PATCHES = 102_400  # held while fitting: all of 100 references at 256 px, 62 MB
FULL_BANK_UP_TO = 4  # references whose patches all stay in the bank
CORESET = 0.1
BANK_ROWS = 4000
COPIED = 3  # references whose moved copies widen the normal range
TURNED = 20  # references that get turned copies in a product of any orientation; more show the turns themselves


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
        partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
        save_file({"bank": self.bank, "owner": self.owner}, partial, {"patchcore": json.dumps(settings)})
        partial.replace(path)

    @classmethod
    def load(cls, path: Path, backbone: Backbone) -> PatchCore:
        """Read a saved bank; BankError when the file is broken or was made with another backbone."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as file:
                settings = json.loads(file.metadata()["patchcore"])
                bank, owner = file.get_tensor("bank"), file.get_tensor("owner")
            made_with, size, calibration = (
                settings["backbone"],
                settings["size"],
                Calibration(**settings["calibration"]),
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise BankError(path, f"not a readable bank ({error})", "fit it again from the references") from error
        if made_with != backbone.name:
            raise BankError(path, f"made with {made_with}, this is {backbone.name}", "fit it again from the references")
        return cls(bank, owner, backbone, size, calibration)


def fit(references: Sequence[Pixels], backbone: Backbone, *, size: int = 256, seed: int = 0) -> PatchCore:
    """PatchCore over 1..N good pictures, each (H, W, 3) uint8; up to 4 keep every patch, more a 10 % coreset.

    A product whose references lie in any orientation is learnt with turned copies of them. References are read in one
    pass, and their number settles the memory before it begins: of more than 102,400 patches (62 MB) a random share of
    each picture is held, and the calibration's `method` says so.
    """
    held = _read(references, backbone, size, seed)
    bank, owner = _bank(held, (size // 8) ** 2, seed)

    def peak(grid: Floats, among: npt.NDArray[np.bool_] | None = None) -> float:
        distances = nearest(_rows(grid), bank, among=among)[0]
        return float(_smooth(distances.reshape(grid.shape[:2]), size).max())

    moved = [copy for reference in references[:COPIED] for copy in moved_copies(reference)]
    copies = [peak(patches([copy], backbone, size)[0]) for copy in moved]
    if len(references) > 1:
        calibration = from_left_out([peak(grid, owner != index) for index, grid in held.whole.items()], copies)
    else:
        own = float(np.quantile(_smooth(own_distances(held.whole[0]), size), 0.99))
        calibration = from_copies(copies, own)
    method = "; ".join([calibration.method, *held.notices])
    return PatchCore(bank, owner, backbone, size, replace(calibration, normals=len(references), method=method))


@dataclass(frozen=True)
class _Held:
    """What one pass leaves: patches `rows` (M, C), the reference `owner` (M,) of each, `whole` grids by reference."""

    rows: Floats
    owner: npt.NDArray[np.int64]
    whole: dict[int, Floats]
    notices: list[str]


def _read(references: Sequence[Pixels], backbone: Backbone, size: int, seed: int) -> _Held:
    turned = min(len(references), TURNED) if lies_in_any_orientation(references, backbone) else 0
    pictures = len(references) + turned * (TURNS - 1)
    cells = (size // 8) ** 2
    each = max(1, min(cells, MOST_PATCHES // pictures))
    every = -(-len(references) * cells // MOST_PATCHES)
    random = np.random.default_rng(seed)
    rows: list[Floats] = []
    whole: dict[int, Floats] = {}
    owner: list[int] = []
    for index, reference in enumerate(references):
        views = [reference, *(turned_copies(reference, size) if index < turned else [])]
        grids = patches(views, backbone, size)
        rows += [_rows(grid)[np.sort(random.permutation(cells)[:each])] for grid in grids]
        owner += [index] * (each * len(grids))
        if index % every == 0:
            whole[index] = grids[0].copy()
    notices = ["the product lies in any orientation: turned copies learnt"] if turned else []
    if each < cells:
        share = f"a random {each / cells:.0%} of the patches of {len(references)} references"
        notices.append(f"{share} held, to bound the memory")
    return _Held(np.concatenate(rows), np.array(owner), whole, notices)


def _bank(held: _Held, cells: int, seed: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    count = len(held.rows)
    if count <= FULL_BANK_UP_TO * cells:
        return held.rows, held.owner
    kept = coreset(held.rows, min(BANK_ROWS, int(count * CORESET)), seed=seed)
    return held.rows[kept], held.owner[kept]


def _rows(grid: Floats) -> Floats:
    return grid.reshape(-1, grid.shape[-1])


def _smooth(distances: Floats, size: int) -> Floats:
    return smoothed(resized(distances, size, size), SMOOTHING)
