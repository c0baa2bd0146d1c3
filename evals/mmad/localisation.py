"""How well the regions of a diagnosis lie on the mask of the defect."""

from __future__ import annotations

import numpy as np

from agent.diagnosis import Diagnosis
from evals.dataset import DatasetError, load_mask
from evals.mmad.data import MmadImage
from tools.image import Box, ImageError, load_image


def compared_with_mask(image: MmadImage, diagnosis: Diagnosis) -> tuple[float | None, bool | None]:
    """IoU (0-1) of the boxes of the diagnosis with the mask's, and whether the strongest one's middle lies on it.

    (0, False) for a defect that was not found, None for a part without a mask. The union of the boxes is compared with
    the box around the mask.
    """
    if not image.anomalous or image.mask is None:
        return None, None
    try:
        pixels = load_image(image.path).pixels
        mask = load_mask((image.mask,), height=pixels.shape[0], width=pixels.shape[1]).pixels
    except (DatasetError, ImageError):
        return None, None
    boxes = [Box(*defect.box) for defect in diagnosis.defects]
    if not boxes or not mask.any():
        return (0.0, False) if mask.any() else (None, None)
    found = np.zeros(mask.shape, np.bool_)
    for x0, y0, x1, y1 in (box.pixels(height=mask.shape[0], width=mask.shape[1]) for box in boxes):
        found[y0:y1, x0:x1] = True
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    wanted = np.zeros(mask.shape, np.bool_)
    wanted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    x, y = boxes[0].middle
    row, column = int(y / 1000 * (mask.shape[0] - 1)), int(x / 1000 * (mask.shape[1] - 1))
    return round(float((found & wanted).sum() / (found | wanted).sum()), 4), bool(wanted[row, column])
