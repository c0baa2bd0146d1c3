"""Ways to draw an anomaly map for a model, each with the caveat that belongs to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from tools.detectors import AnomalyMap, Pixels
from tools.drawing import RED, at_most, boxes, heat_overlay
from tools.evidence import Notation, Region
from tools.resample import resized

DIMMED = 0.35  # of the brightness, outside a highlight
CAVEATS: Mapping[Notation, str] = {
    "bbox": "The boxes only bound what left the normal range; most of a box can be normal.",
    "contour": "The lines follow the limit of a smoothed map, some pixels outside the defect's own edge.",
    "highlight": "What is dark is only dimmed in this picture; judge brightness on the part itself.",
    "mask": "White is what left the normal range, smoothed; the part itself is not in this picture.",
    "heatmap": "The colours are the map's, not the part's: yellow is just beyond the limit, red from 1.6 times it.",
}

OF_MARKS: Mapping[Notation, str] = {
    "bbox": "The boxes only bound the mark; most of a box can be unmarked.",
    "contour": "The lines are the mark's edge, not the part's.",
    "highlight": CAVEATS["highlight"],
    "mask": "White is what was marked; the part itself is not in this picture.",
    "heatmap": "The colours are the mark's, not the part's.",
}


def caveat(found: AnomalyMap, notation: Notation) -> str:
    """What to keep in mind on such a drawing, of a computed map or of one that was given."""
    return (OF_MARKS if found.words else CAVEATS)[notation]


def drawn(pixels: Pixels, found: AnomalyMap, places: Sequence[Region], notation: Notation) -> Pixels:
    """The picture, at most 1024 px, with what lies above the normal range; for maps that have such places only."""
    if notation == "heatmap":
        return heat_overlay(pixels, found, places)
    if notation == "bbox":
        return boxes(pixels, places)
    canvas = np.ascontiguousarray(at_most(pixels))
    beyond = resized(found.scores, *canvas.shape[:2]) > found.calibration.pixel_limit
    if notation == "contour":
        lines, _ = cv2.findContours(beyond.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        thick = max(1, round(max(canvas.shape[:2]) / 320))
        return np.asarray(cv2.drawContours(canvas.copy(), lines, -1, RED, thick), np.uint8)
    inside = canvas if notation == "highlight" else np.full_like(canvas, 255)
    outside = (canvas * np.float32(DIMMED if notation == "highlight" else 0)).astype(np.uint8)
    return np.where(beyond[..., None], inside, outside)
