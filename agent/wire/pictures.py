"""Pictures as a model gets them: sizes that its processor keeps, JPEG data URLs, one canvas for several images."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from agent.wire.boxes import Frame
from tools.image import jpeg
from tools.pixels import Pixels
from tools.resample import resized

LARGEST_RATIO = 200
CELLS = 4
GREY = 128
_MARGIN = 4  # pixels between a cell's picture and its edges
_STRIP = 28  # pixels of a label's height
_THINNEST = 8  # pixels of a picture's short side on the canvas


def fitted(height: int, width: int, factor: int, least: int, most: int) -> tuple[int, int]:
    """Height and width to send a picture at: multiples of `factor`, together `least` to `most` pixels.

    What Qwen's smart_resize gives, with the longer side changed where that breaks these limits or 1:200. So a
    processor with the same limits leaves the picture as it is. Needs room between the limits: `most` over 1.4 `least`.
    """
    height, width = max(height, -(-width // LARGEST_RATIO)), max(width, -(-height // LARGEST_RATIO))
    high, wide = round(height / factor) * factor, round(width / factor) * factor
    if high * wide > most:
        shrink = math.sqrt(height * width / most)
        high, wide = (max(factor, math.floor(side / shrink / factor) * factor) for side in (height, width))
    elif high * wide < least:
        grow = math.sqrt(least / (height * width))
        high, wide = (math.ceil(side * grow / factor) * factor for side in (height, width))
    if high > wide:
        return _limited(high, wide, factor, least, most), wide
    return high, _limited(wide, high, factor, least, most)


def _limited(longer: int, shorter: int, factor: int, least: int, most: int) -> int:
    """The longer side, changed as little as the limits ask for."""
    smallest = math.ceil(least / shorter / factor) * factor
    largest = min(math.floor(most / shorter / factor) * factor, LARGEST_RATIO * shorter)
    return min(max(longer, smallest), largest)


def encoded(pixels: Pixels) -> str:
    """A JPEG data URL of (H, W, 3) RGB, quality 95 without colour subsampling; equal pixels give equal text."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg(pixels, quality=95, subsampling=0)).decode('ascii')}"


def compose(pictures: Sequence[tuple[str, Pixels]], factor: int, most_pixels: int) -> tuple[Pixels, dict[str, Frame]]:
    """One square canvas of 2 x 2 cells for up to four (id, pixels), and each image's frame on it.

    Cells are filled row by row, each with its id above the picture; its size and every cell's place depend on
    `factor` and `most_pixels` only. Pictures keep their aspect unless they would get thinner than 8 pixels.
    """
    if len(pictures) > CELLS:
        raise ValueError(f"{len(pictures)} pictures for a canvas of {CELLS}")
    side = max(1, math.isqrt(most_pixels) // factor) * factor
    canvas = Image.new("RGB", (side, side), (GREY, GREY, GREY))
    frames = {}
    for number, (name, pixels) in enumerate(pictures):
        left, top = number % 2 * (side // 2), number // 2 * (side // 2)
        _label(canvas, name, left, top, side // 2)
        frames[name] = _paste(canvas, pixels, left, top, side // 2)
    return np.asarray(canvas), frames


def _label(canvas: Image.Image, name: str, left: int, top: int, cell: int) -> None:
    """White on black over the whole width of the cell, in smaller letters when the name is long."""
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((left, top, left + cell - 1, top + _STRIP - 1), "black")
    room = cell - 2 * _MARGIN
    size = next((size for size in (20, 16, 12) if ImageFont.load_default(size).getlength(name) <= room), 9)
    draw.text((left + _MARGIN, top + _STRIP / 2), name, "white", ImageFont.load_default(size), anchor="lm")


def _paste(canvas: Image.Image, pixels: Pixels, left: int, top: int, cell: int) -> Frame:
    """Put the picture into the middle of what its label leaves of the cell."""
    wide, high = cell - 2 * _MARGIN, cell - _STRIP - 2 * _MARGIN
    scale = min(wide / pixels.shape[1], high / pixels.shape[0])
    height, width = (max(_THINNEST, round(length * scale)) for length in pixels.shape[:2])
    x, y = left + (cell - width) // 2, top + _STRIP + (cell - _STRIP - height) // 2
    canvas.paste(Image.fromarray(resized(pixels, height, width)), (x, y))
    return Frame(x, y, x + width, y + height, canvas.height, canvas.width)
