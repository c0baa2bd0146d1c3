"""Pictures of a report: the part with numbered boxes, large enough to print."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from agent.report.content import Picture

SUFFIXES = (".jpg", ".png")
LONGEST = 1000  # pixels of the longest side, enough for 12 cm in print
SMALLEST_GAP = 4  # pixels between a box and its line: the defect itself stays visible
RED, WHITE = (200, 20, 30), (255, 255, 255)


def drawn(picture: Picture | None) -> bytes | None:
    """The picture as JPEG with its boxes; None when there is none that can be read."""
    if picture is None or picture.file.suffix not in SUFFIXES:
        return None
    try:
        with Image.open(picture.file) as opened:
            canvas = _sized(opened.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    for number, box in enumerate(picture.boxes, start=1):
        _mark(canvas, number, box)
    encoded = io.BytesIO()
    canvas.save(encoded, "JPEG", quality=88)
    return encoded.getvalue()


def thumbnail(file: Path, longest: int = 160) -> bytes | None:
    """A small JPEG of a picture; None when it cannot be read."""
    try:
        with Image.open(file) as opened:
            small = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    small.thumbnail((longest, longest))
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=80)
    return encoded.getvalue()


def _sized(image: Image.Image) -> Image.Image:
    scale = LONGEST / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _mark(canvas: Image.Image, number: int, box: tuple[float, ...]) -> None:
    """A red frame on white around the box, and its number beside the upper left corner."""
    draw = ImageDraw.Draw(canvas)
    width, height = canvas.size
    x0, y0 = box[0] * width / 1000 - SMALLEST_GAP, box[1] * height / 1000 - SMALLEST_GAP
    x1, y1 = box[2] * width / 1000 + SMALLEST_GAP, box[3] * height / 1000 + SMALLEST_GAP
    draw.rectangle((x0 - 4, y0 - 4, x1 + 4, y1 + 4), outline=WHITE, width=6)
    draw.rectangle((x0 - 3, y0 - 3, x1 + 3, y1 + 3), outline=RED, width=4)
    side = 34
    left = min(max(x0 - 4, 0), width - side)
    top = y0 - side - 6 if y0 - side - 6 >= 0 else min(y1 + 6, height - side)
    draw.rectangle((left, top, left + side, top + side), fill=RED, outline=WHITE, width=2)
    font = ImageFont.load_default(26)
    draw.text((left + side / 2, top + side / 2), str(number), fill=WHITE, font=font, anchor="mm")
