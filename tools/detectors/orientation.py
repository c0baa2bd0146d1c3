"""Products that lie on the bench in any orientation: found from the references alone, covered by turned copies.

A convolutional backbone sees another patch when a part is turned, so without the copies the largest distance of such a
product is its orientation and not its defect.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import cv2
import numpy as np

from tools.detectors import Pixels
from tools.detectors.features import Backbone, patches
from tools.detectors.nearest import nearest
from tools.foreground import part_mask
from tools.resample import resized

TURNS = 12
COMPARED = 8  # references, and no fewer than 3: two can lie alike by chance
COMPARED_SIZE = 128  # pixels a side: enough to tell, at a quarter of the cost
EXPLAINED = 0.8  # loose products were measured at 0.47 to 0.83 of their distance, fixed ones at 0.86 to 1.0
EXPLAINED_APART = 0.88  # where the parts' outlines do not lie on each other either
OVERLAP = 0.58  # of outlines; loose parts were measured at 0.15 to 0.52, fixed ones at 0.66 to 1.0
CLEAR = 2.7  # standard deviations of the background between its colour and the part's
ALIKE = 1.6  # ratio of the parts' areas up to which their outlines are believed


def turned_copies(pixels: Pixels, longest: int) -> list[Pixels]:
    """The picture in eleven other orientations, 30 degrees apart, `longest` pixels long and in its own shape."""
    scale = longest / max(pixels.shape[:2])
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    small = resized(pixels, height, width)
    copies = []
    for turn in range(1, TURNS):
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn * 360 / TURNS, 1.0)
        moved = cv2.warpAffine(small, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        copies.append(np.asarray(moved, np.uint8))
    return copies


def lies_in_any_orientation(references: Sequence[Pixels], backbone: Backbone) -> bool:
    """Whether good parts (each (H, W, 3) uint8) are much more like each other's turned copies than like each other."""
    compared = [references[index] for index in range(min(COMPARED, len(references)))]
    if len(compared) < 3:
        return False
    size = round(COMPARED_SIZE / backbone.step) * backbone.step
    grids = [patches([one, *turned_copies(one, size)], backbone, size) for one in compared]
    channels = grids[0].shape[-1]
    as_they_lie = turned = 0.0
    for index, grid in enumerate(grids):
        part = grid[0].reshape(-1, channels)
        others = np.stack(grids[:index] + grids[index + 1 :])
        as_they_lie += float(nearest(part, others[:, 0].reshape(-1, channels))[0].max())
        turned += float(nearest(part, others.reshape(-1, channels))[0].max())
    return turned < (EXPLAINED_APART if _lie_apart(compared) else EXPLAINED) * as_they_lie


def usual_area(references: Sequence[Pixels]) -> float:
    """Share of the picture that the parts take, 0 where they do not stand out clearly from an even background alike."""
    areas = [_clear_area(reference) for reference in references]
    return float(np.mean(areas)) if max(areas) < min(1.0, ALIKE * min(areas)) else 0.0


def _clear_area(pixels: Pixels) -> float:
    part = part_mask(pixels)
    if part.all():
        return 1.0
    inside, outside = pixels[part].astype(np.float32), pixels[~part].astype(np.float32)
    contrast = float(np.linalg.norm(inside.mean(axis=0) - outside.mean(axis=0)))
    return float(part.mean()) if contrast > CLEAR * float(np.sqrt(outside.var(axis=0).sum())) else 0.0


def _lie_apart(references: Sequence[Pixels]) -> bool:
    """Whether the outlines of parts of one size cover each other badly."""
    if not usual_area(references):
        return False
    masks = [resized(part_mask(one).astype(np.float32), COMPARED_SIZE, COMPARED_SIZE) > 0.5 for one in references]
    shares = [(one & other).sum() / (one | other).sum() for one, other in combinations(masks, 2)]
    return float(np.mean(shares)) < OVERLAP
