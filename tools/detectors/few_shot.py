"""The default detector: nearest normal patches, from one good picture up, without training.

PatchCore's bank (Roth et al., CVPR 2022) with what paid (evals/README.md): features over the root of their length at
each depth, the picture's own shape, finer and turned views of references that lie turned or may do so (Damm et al.,
AnomalyDINO, WACV 2025) with a background that counts half, distances relative to how far good parts lie from the same
row of the bank, less half of how strange a part is as a whole that stands out from its background, and the mean of the
hottest 0.3 % as the image score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import cv2
import numpy as np
import numpy.typing as npt

from tools.detectors import AnomalyMap, Calibration, Detector, Fitted, Floats, Pixels, Pose
from tools.detectors.features import Backbone, tempered_patches
from tools.detectors.held import BANK_ROWS, View, bank_of, hold, rows_of, thinned
from tools.detectors.nearest import nearest
from tools.detectors.normal_range import (
    ONE_REFERENCE,
    ONE_TEXTURE,
    from_copies,
    from_left_out,
    moved_copies,
    own_distances,
)
from tools.detectors.orientation import TURNS, lies_in_any_orientation, turned_copies, usual_area
from tools.detectors.self_similarity import without_references
from tools.foreground import part_mask
from tools.resample import resized, smoothed

HOTTEST = 0.003  # share of the map whose mean is the image score
WHOLE = 0.5  # weight of the part's own level, taken off the map
WHOLE_AT = 0.9  # quantile of the map at which a part that fills less than half of the picture has its level
MOST_AREA = 0.5  # of the picture that such a part fills
FINEST = 0.5  # weight of the finest of several depths: it sees grain rather than form
FINEST_UNTOLD = 0.2  # grain that one or two references do not tell
FINER = 1.5  # times the backbone's size, for parts that lie turned
MOST_TURNED = 20  # references that get turned copies; more show the turns themselves
UNTOLD = 3  # references from which on their poses tell whether the product lies turned
BACKGROUND = 0.5  # weight of what is not the part, where parts lie turned
SOME = 16  # one patch in so many of the background is held
REACH = 9  # of 256 pixels: how far the part reaches into its background
PRIOR_VISITS = 3  # of a row of the bank, at the mean distance
PRIOR_REFERENCES = 8  # at which the rows' own distances count half
MAP_SIDE = 256  # pixels: the map's side before it is enlarged to the picture
SIGMA = 4.0  # pixels of that map, PatchCore section 3.3


@dataclass(frozen=True)
class Look:
    """How a picture becomes patches: `size` in pixels, `area` (0-1) of the picture that a part usually takes.

    `area` is 0 where the background counts like the part; `finest` is the weight of the finest depth; `whole` that of
    the part's own level, which is taken off the map.
    """

    backbone: Backbone
    size: int
    area: float
    finest: float
    whole: float

    def views(self, pictures: Sequence[Pixels]) -> list[View]:
        """Patch features of each picture, less for the background, of which some are held."""
        found: list[View] = []
        for shape, alike in groupby(pictures, lambda one: self._shape(one, self.size, self.backbone.step)):
            group = list(alike)
            for grid, pixels in zip(tempered_patches(group, self.backbone, shape, self.finest), group, strict=True):
                found.append(self._view(grid, pixels))
        return found

    def _view(self, grid: Floats, pixels: Pixels) -> View:
        beside = self._background(pixels, *grid.shape[:2])
        if beside is None:
            return View(grid, rows_of(grid))
        grid[beside] *= np.float32(BACKGROUND)
        left_out = beside.ravel().copy()
        left_out[::SOME] = False
        return View(grid, rows_of(grid)[~left_out])

    def smooth(self, distances: Floats, pixels: Pixels) -> Floats:
        """Distances of a grid as a smoothed map (about 256 x 256, the shape of the picture) less its own level."""
        scores = smoothed(resized(distances, *self._shape(pixels, MAP_SIDE, 8)), SIGMA)
        return scores - np.float32(self.whole * np.quantile(scores, WHOLE_AT)) if self.whole else scores

    @staticmethod
    def _shape(pixels: Pixels, size: int, step: int) -> tuple[int, int]:
        """About size x size pixels in the picture's shape (1:4 at most), in whole steps."""
        height, width = pixels.shape[:2]
        ratio = min(max(np.sqrt(height / width), 0.5), 2.0)
        return round(size * ratio / step) * step, round(size / ratio / step) * step

    def _background(self, pixels: Pixels, height: int, width: int) -> npt.NDArray[np.bool_] | None:
        """Cells (h, w) beside the part and its surroundings, None where the part does not stand out as usual."""
        if not self.area:
            return None
        part = part_mask(pixels)
        if not self.area / 2 < part.mean() < 2 * self.area:
            return None
        small = _whole(resized(part.astype(np.float32), MAP_SIDE, MAP_SIDE))
        reached = np.asarray(cv2.dilate(small, np.ones((REACH, REACH), np.uint8)), np.float32)
        return resized(reached, height, width) <= 0.1


@dataclass(frozen=True, eq=False)
class FewShot:
    """A fitted bank: rows `bank` (M, C) and `usual` (M,), how much farther than elsewhere good parts lie there."""

    bank: Floats
    usual: Floats
    look: Look
    calibration: Calibration

    def score(self, pixels: Pixels) -> AnomalyMap:
        """AnomalyMap of an RGB picture (H, W, 3) uint8; the image score is the mean of the hottest 0.3 % of the map."""
        return self.score_batch([pixels])[0]

    def score_batch(self, pictures: Sequence[Pixels]) -> list[AnomalyMap]:
        """The maps of several pictures; those of one shape go through the backbone together."""
        return [self._mapped(view.grid, one) for view, one in zip(self.look.views(pictures), pictures, strict=True)]

    def _mapped(self, grid: Floats, pixels: Pixels) -> AnomalyMap:
        distances, rows = nearest(rows_of(grid), self.bank)
        scores = self.look.smooth(_beyond(distances, self.usual[rows], grid), pixels)
        name = f"few-shot {self.look.backbone.name}"
        return AnomalyMap(resized(scores, *pixels.shape[:2]), hottest(scores), name, self.calibration)

    def fitted(self) -> Fitted:
        """Bank, usual distances, look and calibration."""
        look = {"size": self.look.size, "area": self.look.area, "finest": self.look.finest, "whole": self.look.whole}
        return Fitted({"bank": self.bank, "usual": self.usual}, {**look, "calibration": self.calibration.plain()})


@dataclass(frozen=True)
class FewShotMethod:
    """Nearest normal patches with the features of `backbone`."""

    backbone: Backbone
    seed: int = 0

    @property
    def name(self) -> str:
        """Method, version and weights."""
        return f"few-shot 2, {self.backbone.name}"

    def fit(self, references: Sequence[Pixels], *, product: str | None = None, pose: Pose = "auto") -> Detector:
        """The detector of 1..N good pictures (without any: self-similarity); a bank of at most 4,000 rows covers them.

        Of more than 51,200 patches a random share of each picture is held; `calibration.method` says so.
        """
        if not references:
            return without_references(self.backbone)
        plan = _plan(references, self.backbone, pose)
        held = hold(references, plan.views, plan.count, self.seed)
        bank, owner = thinned(held, BANK_ROWS, self.seed)
        judged = _Judged.of(held.whole, bank, owner)
        detector = FewShot(bank, judged.usual(), plan.look, _nothing(len(references)))
        calibration = _normal_range(detector, references, judged)
        method = "; ".join([calibration.method, *plan.notices, *held.notices])
        return replace(detector, calibration=replace(calibration, normals=len(references), method=method))

    def restored(self, fitted: Fitted) -> FewShot:
        """The detector with this bank."""
        settings, bank, usual = fitted.settings, bank_of(fitted), fitted.arrays["usual"]
        if usual.shape != bank.shape[:1]:
            raise ValueError(f"{len(bank)} rows, but usual distances of shape {usual.shape}")
        look = Look(self.backbone, settings["size"], settings["area"], settings["finest"], settings["whole"])
        return FewShot(bank, usual, look, Calibration.of(settings))


def _whole(part: Floats) -> Floats:
    """The part with its gaps and missing pieces: its convex hull."""
    filled = np.zeros(part.shape, np.float32)
    points = cv2.findNonZero((part > 0.5).astype(np.uint8))
    if points is not None:
        cv2.fillConvexPoly(filled, cv2.convexHull(points), 1)
    return filled


def hottest(scores: Floats) -> float:
    """Mean of the hottest 0.3 % of a map."""
    count = max(1, round(HOTTEST * scores.size))
    return float(np.partition(scores.ravel(), -count)[-count:].mean())


@dataclass(frozen=True)
class _Plan:
    """How the references are read: the look, and how many of them get turned copies, with mirrored ones or not."""

    look: Look
    references: int
    copied: int
    flipped: bool
    notices: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many pictures will be read, copies counted."""
        return self.references + self.copied * (TURNS * (1 + self.flipped) - 1)

    def views(self, index: int, reference: Pixels) -> list[View]:
        """Patches of a reference and of its turned copies."""
        if index >= self.copied:
            return self.look.views([reference])
        seen = [reference, np.ascontiguousarray(reference[:, ::-1])] if self.flipped else [reference]
        longest = 2 * self.look.size
        return self.look.views([view for one in seen for view in (one, *turned_copies(one, longest))])


def _plan(references: Sequence[Pixels], backbone: Backbone, pose: Pose) -> _Plan:
    """Parts that lie turned, or may do so as far as one or two of them tell, are read finer and with turned copies."""
    count = len(references)
    told = pose != "auto" or count >= UNTOLD
    turned = pose in ("turned", "flipped") or (
        pose == "auto" and told and lies_in_any_orientation(references, backbone)
    )
    area = usual_area([references[index] for index in range(min(count, UNTOLD))])
    whole = WHOLE if told and 0 < area < MOST_AREA else 0.0
    loose = turned or (not told and area > 0)
    size = round(backbone.size * FINER) if loose else backbone.size
    notice = f"parts lie {'turned or flipped over' if pose == 'flipped' else 'turned'}: turned copies learnt"
    copied = min(count, MOST_TURNED) if loose else 0
    look = Look(backbone, size, area if loose else 0.0, FINEST if told else FINEST_UNTOLD, whole)
    return _Plan(look, count, copied, pose == "flipped", (notice,) if turned else ())


@dataclass(frozen=True, eq=False)
class _Judged:
    """Whole references against the bank without their own rows: distances and nearest rows, summed up by row."""

    grids: dict[int, Floats]
    found: dict[int, tuple[Floats, npt.NDArray[np.int64]]]
    sums: Floats
    visits: Floats

    @classmethod
    def of(cls, grids: dict[int, Floats], bank: Floats, owner: npt.NDArray[np.int64]) -> _Judged:
        found = {}
        if len(grids) > 1:
            found = {index: nearest(rows_of(grid), bank, among=owner != index) for index, grid in grids.items()}
        sums, visits = np.zeros((2, len(bank)), np.float32)
        for distances, rows in found.values():
            np.add.at(sums, rows, distances)
            np.add.at(visits, rows, 1)
        return cls(grids, found, sums, visits)

    def usual(self, without: int | None = None) -> Floats:
        """How much farther than on average good parts lie from each row, drawn to 0 where little is known."""
        sums, visits, count = self.sums.copy(), self.visits.copy(), len(self.found)
        if without is not None:
            distances, rows = self.found[without]
            np.subtract.at(sums, rows, distances)
            np.subtract.at(visits, rows, 1)
            count -= 1
        mean = sums.sum() / max(visits.sum(), 1)
        believed = count / (count + PRIOR_REFERENCES)
        usual: Floats = believed * ((sums + PRIOR_VISITS * mean) / (visits + PRIOR_VISITS) - mean)
        return usual.astype(np.float32)


def _normal_range(detector: FewShot, references: Sequence[Pixels], judged: _Judged) -> Calibration:
    if not judged.found:
        (grid,) = judged.grids.values()
        copies = [detector.score(copy).image_score for copy in moved_copies(references[0])]
        own = own_distances(grid)
        farther = ONE_TEXTURE if part_mask(references[0]).all() else ONE_REFERENCE
        return from_copies(copies, float(np.quantile(detector.look.smooth(own, references[0]), 0.99)), farther)
    scores = []
    for index, (distances, rows) in judged.found.items():
        grid = judged.grids[index]
        beyond = _beyond(distances, judged.usual(index)[rows], grid)
        scores.append(hottest(detector.look.smooth(beyond, references[index])))
    return from_left_out(scores)


def _beyond(distances: Floats, usual: Floats, grid: Floats) -> Floats:
    beyond: Floats = np.maximum(distances - usual, 0).reshape(grid.shape[:2])
    return beyond


def _nothing(normals: int) -> Calibration:
    """The range of a detector that is being fitted."""
    return Calibration(1.0, 1.0, 1.0, 1.0, "", normals)
