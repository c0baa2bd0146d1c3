"""How pictures and places look to the packaged backbone, and whether a mark is the one of a past case again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from tools.detectors import Floats, Pixels
from tools.detectors.features import OnnxBackbone, patches
from tools.drawing import at_most
from tools.image import Box

WHOLE = 128  # pixels a side, for a whole picture
PLACE = 64  # and for a place in it
MARGIN = 0.25  # of a box's sides, at least a fiftieth of the picture: what lies around a mark
LEAST_ALIKE = 0.4  # cosine of two deviations from normal that may be the same thing
MOST_ALIKE = 0.85  # more than that is not reached by the same thing either
APART = 0.1  # how much more alike it has to be than any pasted defect
STRONGER = 1.5  # times the deviation of the case: more than that is something else on top
PASTED = 8  # defects pasted on each good part


def whole_look(pixels: Pixels) -> Floats:
    """Features (D,) of a picture: product, pose and light."""
    return np.asarray(patches([pixels], OnnxBackbone(), WHOLE)[0].ravel(), np.float32)


def likeness(one: Floats, others: Sequence[Floats]) -> list[float]:
    """Cosines (-1 to 1) of whole looks, less what all of them have in common."""
    looks = np.stack([one, *others]).astype(np.float32)
    channels = looks.reshape(len(looks), (WHOLE // 8) ** 2, -1)
    flat = (channels - channels.mean(axis=(0, 1))).reshape(len(looks), -1)
    unit = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return [float(value) for value in unit[1:] @ unit[0]]


def alike(found: Floats, case: Floats) -> float:
    """How much a deviation is that of a past case: their cosine, -1 when it is so strong that more must be there."""
    length, wanted = float(np.linalg.norm(found)), float(np.linalg.norm(case))
    if length > STRONGER * wanted or not length * wanted:
        return -1.0
    return float(found @ case) / (length * wanted)


class Place:
    """A box of the part, and how good parts look there."""

    def __init__(self, normals: Sequence[Pixels], box: Box) -> None:
        self.normals, self.box = normals, box
        self._mean = np.mean([self._look(normal) for normal in normals], axis=0)

    def deviation(self, pixels: Pixels) -> Floats:
        """How a picture differs here from the mean of good parts: features (D,)."""
        return np.asarray(self._look(pixels) - self._mean, np.float32)

    def needed(self, case: Floats) -> float | None:
        """How alike a mark has to be to pass for the case: more than defects pasted on the good parts here are.

        None when some of them are so much like it that the two cannot be told apart.
        """
        pasted = (each for seed, normal in enumerate(self.normals) for each in _pasted(at_most(normal), self.box, seed))
        most = max(alike(self.deviation(each), case) for each in pasted)
        needed = max(LEAST_ALIKE, most + APART)
        return needed if needed <= MOST_ALIKE else None

    def _look(self, pixels: Pixels) -> Floats:
        return np.asarray(patches([_around(at_most(pixels), self.box)], OnnxBackbone(), PLACE)[0].ravel(), np.float32)


def _around(pixels: Pixels, box: Box) -> Pixels:
    x, y = box.middle
    half_x, half_y = (max((0.5 + MARGIN) * side, 20) for side in (box.x1 - box.x0, box.y1 - box.y0))
    wide = Box(max(x - half_x, 0), max(y - half_y, 0), min(x + half_x, 1000), min(y + half_y, 1000))
    x0, y0, x1, y1 = wide.pixels(height=pixels.shape[0], width=pixels.shape[1])
    return pixels[y0:y1, x0:x1]


def _pasted(pixels: Pixels, box: Box, seed: int) -> Iterator[Pixels]:
    """Good parts with a defect at a place: patches from elsewhere, light and dark scratches, spots.

    The patches follow Li et al., CutPaste (CVPR 2021), section 3.1.
    """
    random = np.random.default_rng(seed)
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = box.pixels(height=height, width=width)
    for number in range(PASTED):
        changed = pixels.copy()
        light = int(random.choice([20, 235]))
        a, b = ((int(random.integers(x0, x1)), int(random.integers(y0, y1))) for _ in range(2))
        if number % 3 == 0:
            left, top = int(random.integers(0, width - (x1 - x0) + 1)), int(random.integers(0, height - (y1 - y0) + 1))
            changed[y0:y1, x0:x1] = pixels[top : top + y1 - y0, left : left + x1 - x0]
        elif number % 3 == 1:
            cv2.line(changed, a, b, (light,) * 3, max(1, width // 200))
        else:
            cv2.circle(changed, a, max(2, min(x1 - x0, y1 - y0) // 4), (light,) * 3, -1)
        yield changed
