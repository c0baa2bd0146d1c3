"""Pictures of evidence: heat on a scale fixed by the normal range, and boxes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from tools.detectors import AnomalyMap, Floats, Pixels
from tools.evidence import Region
from tools.resample import resized

LONGEST = 1024
RED = (230, 40, 40)


def at_most(pixels: Pixels, longest: int = LONGEST) -> Pixels:
    """The picture, shrunk so that its longest side is at most `longest` pixels."""
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return pixels
    return resized(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def heat_overlay(pixels: Pixels, found: AnomalyMap, places: Sequence[Region]) -> Pixels:
    """Heat of an anomaly map over the part, with boxes; nothing is coloured below the limit."""
    return heat_in_limits(pixels, found.scores / np.float32(found.calibration.pixel_limit), places)


def heat_in_limits(pixels: Pixels, scores: Floats, places: Sequence[Region]) -> Pixels:
    """Heat of `scores` (H, W) in units of the limit: clear up to 1, yellow above, red from 1.6."""
    canvas = at_most(pixels)
    height, width = canvas.shape[:2]
    heat = resized(scores, height, width)
    strength = np.clip((heat - 1) / 0.6, 0, 1)[..., None]
    colour = np.concatenate([np.full_like(strength, 255), 220 * (1 - strength), 0 * strength], axis=2)
    opacity = np.where(heat[..., None] > 1, 0.35 + 0.3 * strength, 0)
    return boxes((canvas * (1 - opacity) + colour * opacity).astype(np.uint8), places)


def boxes(pixels: Pixels, places: Sequence[Region]) -> Pixels:
    """A copy with the regions' boxes, numbered in their order."""
    canvas = np.ascontiguousarray(at_most(pixels)).copy()
    height, width = canvas.shape[:2]
    thick = max(1, round(max(height, width) / 320))
    for number, place in enumerate(places, start=1):
        x0, y0, x1, y1 = place.box.pixels(height=height, width=width)
        cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), RED, thick)
        corner = (x0 + 2, max(y0 - 4, 14))
        cv2.putText(canvas, str(number), corner, cv2.FONT_HERSHEY_SIMPLEX, 0.3 + 0.15 * thick, RED, thick, cv2.LINE_AA)
    return canvas
