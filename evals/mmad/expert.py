"""A ground-truth expert in place of a detector: the upper bound of what a detector's map can give.

MMAD shows such an expert's mark on defective parts only, so that its mere presence is the answer (`gt-leaking`). With
`gt` a part without a mask of its own shows another picture's.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evals.dataset import load_mask, read_mask
from evals.mmad.data import MmadImage, file_size
from tools.detectors.given import GivenMap, Marks
from tools.image import ImageError, load_image

GT, LEAKING = "gt", "gt-leaking"
LABELS: Mapping[str, str] = {
    GT: "ground truth, upper bound",
    LEAKING: "ground truth, leaks the verdict on normals",
}
MOST_TRIES = 8  # borrowed masks, of which the first usable one counts
CERTAIN = 6.0  # log-odds that a leaking mark may tell
NOTHING = np.zeros((1, 1), np.bool_)

MARKED = "An expert marked what is shown; that alone does not say whether it is a defect."
UNKNOWN = "No mark of an expert is known for this part, which says nothing about it."
DEFECT = "An expert marked it as a defect."
NO_DEFECT = "An expert saw no defect on this part."

BORROWED = "the mask of this defective part is missing: its mark is another picture's"
EMPTY = "no mask could be used: the expert marked nothing"


@dataclass(frozen=True, eq=False)
class Shown:
    """What an expert shows on a picture, and why that deserves less trust."""

    map: GivenMap
    doubts: tuple[str, ...] = ()


def with_marks(images: Sequence[MmadImage], among: Sequence[MmadImage], detector: str) -> list[MmadImage]:
    """The pictures, for a ground-truth expert each with its `marks`; masks are borrowed `among` all pictures."""
    if detector not in LABELS:
        return list(images)
    pool: defaultdict[tuple[str, str], list[Path]] = defaultdict(list)
    for image in among:
        pool[image.dataset, image.product] += _own(image)
    lent = pool if detector == GT else {}
    return [replace(image, marks=(*_own(image), *_drawn(image, lent))) for image in images]


def _own(image: MmadImage) -> tuple[Path, ...]:
    return (image.mask,) if image.anomalous and image.mask and file_size(image.mask) else ()


def _drawn(image: MmadImage, pool: Mapping[tuple[str, str], Sequence[Path]]) -> tuple[Path, ...]:
    """Masks of other pictures of the product, or of all others when it has none, in an order drawn for the picture."""
    alike = [mask for mask in pool.get((image.dataset, image.product), ()) if mask != image.mask]
    others = alike or [mask for masks in pool.values() for mask in masks if mask != image.mask]
    return tuple(random.Random(image.key).sample(others, min(MOST_TRIES, len(others))))


def shown_on(image: MmadImage, detector: str) -> Shown | None:
    """What the expert `detector` shows on a picture that has its marks; None for another detector."""
    if detector not in LABELS:
        return None
    if detector == LEAKING and not image.anomalous:
        return Shown(GivenMap(NOTHING, NO_DEFECT, CERTAIN))
    path, marks = next(_usable(image), (None, NOTHING))
    if path is None:
        return Shown(GivenMap(NOTHING, UNKNOWN), (EMPTY,))
    doubts = (BORROWED,) if image.anomalous and path != image.mask else ()
    return Shown(GivenMap(marks, MARKED) if detector == GT else GivenMap(marks, DEFECT, CERTAIN), doubts)


def _usable(image: MmadImage) -> Iterator[tuple[Path, Marks]]:
    """The masks that can be read and mark something; the picture's own has to have its shape."""
    for path in image.marks:
        try:
            marks = _fitting(path, image.path) if path == image.mask else read_mask(path).pixels
        except ImageError:
            continue
        if marks.any():
            yield path, marks


def _fitting(mask: Path, picture: Path) -> Marks:
    height, width = load_image(picture).pixels.shape[:2]
    return load_mask(mask, height=height, width=width, allow_resize=True).pixels
