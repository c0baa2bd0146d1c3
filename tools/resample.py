"""Resizing and smoothing of arrays, with types: pictures (H, W, 3) and maps (H, W)."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", np.uint8, np.float32)


def resized(array: npt.NDArray[Number], height: int, width: int) -> npt.NDArray[Number]:
    """The whole array at height x width: area-averaged where it shrinks both ways, else bilinear (pixel centres)."""
    shrinking = array.shape[0] > height and array.shape[1] > width
    how = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(array, (width, height), interpolation=how), array.dtype)


def smoothed(array: npt.NDArray[Number], sigma: float) -> npt.NDArray[Number]:
    """Gaussian smoothing; `sigma` in pixels."""
    return np.asarray(cv2.GaussianBlur(array, (0, 0), sigma), array.dtype)


def to_lab(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """CIE Lab (L 0-100) of RGB pixels (H, W, 3) uint8."""
    return np.asarray(cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), np.float32)
