"""Measurements of the mark in a box: size, shape, brightness, colour, and words for them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from tools.detectors import Floats, Pixels
from tools.foreground import part_mask
from tools.image import Box
from tools.resample import smoothed, to_lab

RING = 0.5  # of the box's sides: how far the surroundings reach
FAINT = 3.0  # Lab distance under which nothing stands out
HUES = (("greenish", "reddish"), ("bluish", "yellowish"))
HUE_SHIFT = 6.0
BRIGHTNESS_SHIFT = 12.0  # grey levels


def measure(pixels: Pixels, box: Box) -> dict[str, float | str]:
    """Measure the most different patch in `box` of an RGB picture (H, W, 3) against a ring around it.

    Numbers carry their units in their names; `looks` names shape, tone and hue, `described` says it all in words.
    """
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = box.pixels(height=height, width=width)
    left, top = max(0, x0 - round(RING * (x1 - x0))), max(0, y0 - round(RING * (y1 - y0)))
    right, bottom = x1 + round(RING * (x1 - x0)), y1 + round(RING * (y1 - y0))
    lab = smoothed(to_lab(pixels[top:bottom, left:right]), 0.8)
    inside = np.zeros(lab.shape[:2], np.bool_)
    inside[y0 - top : y1 - top, x0 - left : x1 - left] = True
    ring = lab[~inside] if (~inside).any() else lab[inside]
    mark = _mark(lab, np.median(ring, axis=0), inside)
    on_part = float(part_mask(pixels)[y0:y1, x0:x1].mean())
    return _described(lab, ring, mark, pixels.shape[:2], on_part)


def _mark(lab: Floats, surroundings: Floats, inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The largest connected patch in the box that differs from the surroundings more than the rest does (Otsu)."""
    distance = np.linalg.norm(lab - surroundings, axis=2) * inside
    grey = np.clip(distance * 2, 0, 255).astype(np.uint8)
    _, split = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(split)
    if count < 2:
        return inside
    return np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))


def _described(
    lab: Floats, ring: Floats, mark: npt.NDArray[np.bool_], whole: tuple[int, ...], on_part: float
) -> dict[str, float | str]:
    points = np.argwhere(mark)[:, ::-1].astype(np.float32)
    sides = sorted(side + 1 for side in cv2.minAreaRect(points)[1])
    shift = (np.median(lab[mark], axis=0) - np.median(ring, axis=0)).astype(np.float32)
    contrast = float(np.linalg.norm(shift))
    numbers: dict[str, float | str] = {
        "length_px": round(sides[1], 1),
        "width_px": round(sides[0], 1),
        "elongation": round(sides[1] / sides[0], 2),
        "area_percent": round(100 * len(points) / (whole[0] * whole[1]), 3),
        "brightness_change": round(float(shift[0]) * 2.55, 1),
        "colour_contrast": round(contrast, 1),
        "on_part": round(on_part, 2),
    }
    looks = _words(sides, float(numbers["area_percent"]), shift, contrast)
    place = "" if on_part >= 0.5 else ", beside the part"
    size = f"{sides[1]:.0f} x {sides[0]:.0f} px, {numbers['area_percent']} % of the picture"
    described = f"{looks}, {size}, brightness {numbers['brightness_change']:+}{place}"
    return {**numbers, "looks": looks, "described": described}


def _words(sides: list[float], area_percent: float, shift: Floats, contrast: float) -> str:
    if contrast < FAINT:
        return "no mark that stands out from its surroundings"
    elongation = sides[1] / sides[0]
    shape = "thin elongated line" if elongation > 4 else "elongated mark" if elongation > 2 else "compact spot"
    if area_percent > 4 and elongation <= 4:
        shape = "broad area"
    light = shift[0] * 2.55
    tone = "dark" if light < -BRIGHTNESS_SHIFT else "light" if light > BRIGHTNESS_SHIFT else ""
    hues = [pair[int(value > 0)] for pair, value in zip(HUES, shift[1:], strict=True) if abs(value) > HUE_SHIFT]
    return " ".join(filter(None, [tone, *hues, shape]))
