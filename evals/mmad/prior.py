"""Steps one and two of the recipe: from a mask and a folder's name to what is known of a defect, in numbers and words.

MMAD's own data was made so (Jiang et al., ICLR 2025, section 3): visual prompt and prior knowledge, then a description.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from agent.diagnosis import place_of
from evals.dataset import GOOD, MaskError, ProductData, Sample, load_mask
from tools.appearance import appearance
from tools.detectors import Pixels
from tools.image import Box, load_image, save_image
from tools.mark import measure

INSIDE = 0.9  # share of the mask in one cell of a 3 x 3 grid, from which on it lies there
RED = (230, 40, 40)


@dataclass(frozen=True)
class Prior:
    """What masks, folders and measurements tell of a picture; `look` of the whole part, the rest None for a good one.

    `place` is one of nine cells and None where the defect spreads; `area_percent` is of the picture.
    """

    object: str
    look: str
    defect: str | None = None
    place: str | None = None
    shape: str | None = None
    area_percent: float | None = None

    @property
    def description(self) -> str | None:
        """The defect in a sentence; None for a good part and where no mask says which mark it is."""
        return described(self.shape, self.area_percent) if self.shape and self.area_percent is not None else None

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "description": self.description}


def described(shape: str, area_percent: float) -> str:
    """A mark's look in a sentence."""
    size = (
        "tiny" if area_percent < 0.2 else "small" if area_percent < 1 else "large" if area_percent < 8 else "very large"
    )
    return f"A {size} {shape}."


def named(folder: str) -> str:
    """The name of a folder as words: "metal_nut" is "metal nut"."""
    return " ".join(folder.replace("_", " ").replace("-", " ").split())


def prior_of(product: ProductData, sample: Sample, overlays: Path) -> Prior:
    """What is known of a picture; a defect with a mask is also drawn into `overlays`, its outline in red."""
    pixels = load_image(sample.path).pixels
    whole = Prior(named(product.folder.name), appearance(pixels))
    if sample.defect == GOOD:
        return whole
    defect = named(sample.defect)
    mask = _mask(sample, pixels)
    if mask is None or not mask.any():
        return Prior(whole.object, whole.look, defect)
    overlays.mkdir(parents=True, exist_ok=True)
    save_image(overlays / f"{sample.defect}_{sample.path.stem}.png", _outlined(pixels, mask))
    looks = str(measure(pixels, _around(mask))["looks"])
    shape = looks if not looks.startswith("no mark") else "faint area"
    return Prior(whole.object, whole.look, defect, _place(mask), shape, round(100 * float(mask.mean()), 3))


def _mask(sample: Sample, pixels: Pixels) -> np.ndarray | None:
    if not sample.masks:
        return None
    try:
        return np.asarray(load_mask(sample.masks, height=pixels.shape[0], width=pixels.shape[1]).pixels)
    except MaskError:
        return None  # `validate` lists it


def _around(mask: np.ndarray) -> Box:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    height, width = mask.shape
    return Box.from_pixels(
        int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1, height=height, width=width
    )


def _place(mask: np.ndarray) -> str | None:
    """The cell of a 3 x 3 grid that holds nearly all of the mask."""
    height, width = mask.shape
    y, x = np.nonzero(mask)
    cells = 3 * (3 * y // height) + 3 * x // width
    counts = np.bincount(cells, minlength=9)
    row, column = divmod(int(counts.argmax()), 3)
    middle = [(column + 0.5) / 3 * 1000, (row + 0.5) / 3 * 1000]
    return place_of([*middle, *middle]) if counts.max() >= INSIDE * counts.sum() else None


def _outlined(pixels: Pixels, mask: np.ndarray) -> Pixels:
    drawn = pixels.copy()
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, outlines, -1, RED, max(1, round(max(pixels.shape[:2]) / 300)))
    return drawn
