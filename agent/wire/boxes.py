"""Boxes between 0-1000 of a named image and a model's own scale on the picture that was sent to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from agent.wire.dialect import Scale
from tools.image import Box


class BoxError(ValueError):
    """A box that is not inside its image, in words for the planner and numbers of its own scale."""


@dataclass(frozen=True)
class Frame:
    """Where a named image lies on a picture as sent: its edges and the picture's height and width, all in pixels."""

    left: float
    top: float
    right: float
    bottom: float
    height: int
    width: int

    @classmethod
    def whole(cls, height: int, width: int) -> Frame:
        """The frame of an image that is a picture of its own."""
        return cls(0, 0, width, height, height, width)


def to_model(box: Sequence[float], frame: Frame, scale: Scale) -> list[float]:
    """The box, 0-1000 of the framed image, in the model's scale on the picture as sent.

    Whole numbers for "pixels" and "thousand", three decimals for "unit"; at least one step of the scale a side, so
    that `from_model` reads it back.
    """
    x0, y0, x1, y1 = box
    x, y = (frame.right - frame.left) / 1000, (frame.bottom - frame.top) / 1000
    across, down = _units(frame, "thousand" if scale == "unit" else scale)
    left, right = _apart((frame.left + x0 * x) / across, (frame.left + x1 * x) / across, frame.right / across)
    top, bottom = _apart((frame.top + y0 * y) / down, (frame.top + y1 * y) / down, frame.bottom / down)
    if scale == "unit":
        return [left / 1000, top / 1000, right / 1000, bottom / 1000]
    # [0, 0, 1, 1] would be read as the whole picture
    return [left, top, 2 if (left, top, right, bottom) == (0, 0, 1, 1) else right, bottom]


def from_model(box: Sequence[float], frame: Frame, scale: Scale, name: str) -> Box:
    """The box in 0-1000 of the framed image, rounded to a tenth; values that are all 0-1 are fractions in any scale.

    Up to one pixel or 0.1 % of the picture outside the image is cut off. Raises BoxError for what is further out,
    empty, turned round or not four numbers; `name` is the image's id in its text.
    """
    if not four_numbers(box):
        raise _error(box, frame, scale, name)
    fractions = all(0 <= value <= 1 for value in box)
    across, down = (frame.width, frame.height) if fractions else _units(frame, scale)
    x0, x1 = (_inside(value * across, frame.left, frame.right, frame.width) for value in box[::2])
    y0, y1 = (_inside(value * down, frame.top, frame.bottom, frame.height) for value in box[1::2])
    found = Box(x0, y0, x1, y1)
    # a NaN, which marks a value outside, is in no order
    if not (x0 < x1 and y0 < y1):
        raise _error(box, frame, scale, name)
    return found


def _units(frame: Frame, scale: Scale) -> tuple[float, float]:
    """Pixels across and down in one unit of the scale."""
    if scale == "pixels":
        return 1, 1
    parts = 1000 if scale == "thousand" else 1
    return frame.width / parts, frame.height / parts


def _apart(low: float, high: float, most: float) -> tuple[int, int]:
    """Both as whole numbers, at least one apart, and so that some of it is under `most`."""
    start = min(round(low), math.floor(most + 1e-9) - 1)
    return start, max(round(high), start + 1)


def _inside(pixel: float, low: float, high: float, side: int) -> float:
    """Thousandths of the image between `low` and `high`, cut off at its edges; NaN when further out than allowed."""
    allowed = max(1.0, side / 1000) + 1e-6
    if not low - allowed <= pixel <= high + allowed:
        return math.nan
    return round((min(max(pixel, low), high) - low) / (high - low) * 1000, 1)


def with_boxes(value: Any, change: Callable[[list[float], str], Sequence[Any]]) -> Any:
    """A call's arguments with every box changed; `change` is told the box and the id of its image, by default part."""
    if isinstance(value, list):
        return [with_boxes(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: with_boxes(item, change) for key, item in value.items()}
    if four_numbers(box := value.get("box")):
        found["box"] = list(change(box, str(value.get("image", "part"))))
    return found


def four_numbers(box: object) -> TypeGuard[list[float]]:
    """Whether a value has the form of a box: a list of four finite numbers of a sane size."""
    return (
        isinstance(box, list | tuple)
        and len(box) == 4
        and all(isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 for value in box)
    )


def _error(box: Sequence[float], frame: Frame, scale: Scale, name: str) -> BoxError:
    across, down = _units(frame, scale)
    edges = (frame.left / across, frame.top / down, frame.right / across, frame.bottom / down)
    x0, y0, x1, y1 = (f"{edge:.{3 if scale == 'unit' else 0}f}" for edge in edges)
    where = "is" if frame == Frame.whole(frame.height, frame.width) else "lies on the canvas at"
    words = {"pixels": "pixels", "thousand": "thousandths", "unit": "fractions"}[scale]
    return BoxError(
        f"{str(box)[:100]} is no box inside image {name!r}, which {where} x {x0} to {x1} and y {y0} to {y1} in {words}"
        " of the picture as sent; a box is four numbers [x0, y0, x1, y1] with x0 < x1 and y0 < y1 within that"
    )
