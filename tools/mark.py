"""Measurements of the mark in a box: size, shape, brightness, colour, and words for them."""

from __future__ import annotations

from dataclasses import dataclass

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
    seen = _seen(pixels, box)
    mask = _standing_out(seen)
    mark = _largest(mask) if mask.any() else seen.inside
    x0, y0, x1, y1 = box.pixels(height=pixels.shape[0], width=pixels.shape[1])
    on_part = float(part_mask(pixels)[y0:y1, x0:x1].mean())
    return _described(seen.lab, seen.ring, mark, pixels.shape[:2], on_part)


def marks(pixels: Pixels, box: Box) -> tuple[npt.NDArray[np.bool_], tuple[int, int]]:
    """Pixels (h, w) in and around `box` that stand out from the ring around it, and their left and top edge.

    None stand out where they differ by less than a colour that can be told.
    """
    seen = _seen(pixels, box)
    mask = _standing_out(seen)
    if mask.any():
        contrast = np.median(seen.lab[mask], axis=0) - np.median(seen.ring, axis=0)
        mask &= bool(np.linalg.norm(contrast) >= FAINT)
    return mask, (seen.left, seen.top)


@dataclass(frozen=True, eq=False)
class _Seen:
    """A box with the ring around it: Lab (h, w, 3), the ring's pixels (N, 3), where the box is, left and top edge."""

    lab: Floats
    ring: Floats
    inside: npt.NDArray[np.bool_]
    left: int
    top: int


def _seen(pixels: Pixels, box: Box) -> _Seen:
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = box.pixels(height=height, width=width)
    left, top = max(0, x0 - round(RING * (x1 - x0))), max(0, y0 - round(RING * (y1 - y0)))
    right, bottom = x1 + round(RING * (x1 - x0)), y1 + round(RING * (y1 - y0))
    lab = smoothed(to_lab(pixels[top:bottom, left:right]), 0.8)
    inside = np.zeros(lab.shape[:2], np.bool_)
    inside[y0 - top : y1 - top, x0 - left : x1 - left] = True
    return _Seen(lab, lab[~inside] if (~inside).any() else lab[inside], inside, left, top)


def _standing_out(seen: _Seen) -> npt.NDArray[np.bool_]:
    """Pixels of the box that differ from the surroundings more than the rest does (Otsu)."""
    distance = np.linalg.norm(seen.lab - np.median(seen.ring, axis=0), axis=2) * seen.inside
    grey = np.clip(distance * 2, 0, 255).astype(np.uint8)
    return np.asarray(cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1], np.bool_)


def _largest(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The largest connected patch."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
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
