"""Which pixels are the part: what differs from an even background that reaches the picture's border."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from tools.detectors import Pixels
from tools.resample import resized, to_lab

WORKING_SIDE = 256
BACKGROUND_REACH = 14.0  # Lab distance that still counts as background
EVEN_BORDER = 0.6  # share of the border that must look alike
PLAUSIBLE = (0.03, 0.97)  # share of the picture a part can take


def part_mask(pixels: Pixels) -> npt.NDArray[np.bool_]:
    """(H, W) bool, true on the part; true everywhere without an even background (a texture, a close-up)."""
    height, width = pixels.shape[:2]
    lab = to_lab(resized(pixels, WORKING_SIDE, WORKING_SIDE))
    border = np.concatenate([lab[:3], lab[-3:], lab[:, :3].swapaxes(0, 1), lab[:, -3:].swapaxes(0, 1)]).reshape(-1, 3)
    alike = np.linalg.norm(border - np.median(border, axis=0), axis=1) < BACKGROUND_REACH
    background = np.linalg.norm(lab - np.median(border, axis=0), axis=2) < BACKGROUND_REACH
    part = _without_holes(background)
    if alike.mean() < EVEN_BORDER or not PLAUSIBLE[0] < part.mean() < PLAUSIBLE[1]:
        return np.ones((height, width), np.bool_)
    return resized(part.astype(np.uint8) * np.uint8(255), height, width) > 127


def _without_holes(background: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The part: the large pieces that are not background connected to the border."""
    _, labels = cv2.connectedComponents(background.astype(np.uint8))
    edges = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    part = ~(np.isin(labels, edges[edges > 0]))
    kernel = np.ones((5, 5), np.uint8)
    opened = cv2.morphologyEx(part.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    return _large_pieces(np.asarray(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, kernel), np.uint8))


def _large_pieces(pieces: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """The largest piece, and others of a tenth of its area that keep clear of the border (which cuts off strangers)."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(pieces)
    if count < 2:
        return np.zeros(labels.shape, np.bool_)
    areas = stats[1:, cv2.CC_STAT_AREA]
    inside = (stats[1:, :2] > 0).all(axis=1) & ((stats[1:, :2] + stats[1:, 2:4]) < labels.shape[0]).all(axis=1)
    kept = (areas == areas.max()) | (inside & (areas > areas.max() / 10))
    return np.isin(labels, 1 + np.flatnonzero(kept))
