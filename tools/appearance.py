"""How a whole part looks, in a few measured words: colour, background, outline, texture."""

from __future__ import annotations

import cv2
import numpy as np

from tools.detectors import Floats, Pixels
from tools.foreground import part_mask
from tools.resample import resized, to_lab

SIDE = 256  # pixels
GREY = 9.0  # Lab chroma under which a colour is a grey
TWO_TONED = 0.85  # share of the picture that is nearly black or white
NEARLY = 30  # grey levels
SOME = 0.03


def appearance(pixels: Pixels) -> str:
    """Words for an RGB picture (H, W, 3) uint8, such as "brown; stands alone on a black background; round; smooth"."""
    small = resized(pixels, SIDE, SIDE)
    part = part_mask(small)
    lab = to_lab(small)
    words = [_colour(np.median(lab[part], axis=0)), _ground(lab, part)]
    if _two_toned(pixels):
        return f"{words[0]}; only black and white, a drawn pattern"
    if not part.all():
        words.append(_outline(part))
    return "; ".join([*words, _texture(lab[..., 0])])


def _colour(lab: Floats) -> str:
    light, a, b = (float(value) for value in lab)
    if float(np.hypot(a, b)) < GREY:
        return "black" if light < 20 else "dark grey" if light < 42 else "grey" if light < 70 else "light grey"
    hue = float(np.degrees(np.arctan2(b, a))) % 360
    if hue < 85 or hue > 330:
        return "brown" if light < 62 and hue > 30 else "red" if light < 62 else "orange"
    return "yellow" if hue < 110 else "green" if hue < 190 else "blue" if hue < 300 else "purple"


def _ground(lab: Floats, part: np.ndarray) -> str:
    if part.all():
        return "fills the picture"
    return f"stands alone on a {_colour(np.median(lab[~part], axis=0))} background"


def _outline(part: np.ndarray) -> str:
    points = cv2.findNonZero(part.astype(np.uint8))
    sides = sorted(side + 1 for side in cv2.minAreaRect(points)[1])
    if sides[1] > 2.5 * sides[0]:
        return "long and thin"
    filled = part.sum() / (sides[0] * sides[1])
    return "rectangular" if filled > 0.9 else "round" if filled > 0.7 and sides[1] < 1.3 * sides[0] else "irregular"


def _two_toned(pixels: Pixels) -> bool:
    """Whether nearly all of the picture is black or white, and some of it each."""
    grey = pixels.mean(axis=2)
    black, white = float((grey < NEARLY).mean()), float((grey > 255 - NEARLY).mean())
    return black + white > TWO_TONED and min(black, white) > SOME


def _texture(light: Floats) -> str:
    across, down = (float(np.abs(np.diff(light, axis=axis)).mean()) for axis in (1, 0))
    rough = (across + down) / 2
    lined = max(across, down) > 1.8 * min(across, down)
    grain = "smooth" if rough < 1.2 else "fine grain" if rough < 3.5 else "rough"
    return f"{grain} with lines" if lined else grain
