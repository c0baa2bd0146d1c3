"""Tool `measure`: length, width, area, angle and number of the marks in a box, in pixels and millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from langchain_core.tools import BaseTool, tool
from pydantic import BaseModel, Field

from tools.album import Album
from tools.detectors import Floats, Pixels
from tools.drawing import RED, at_most
from tools.evidence import Evidence, Region
from tools.image import Box
from tools.mark import marks
from tools.zoom import BOX, checked_box

ALIKE = (0.5, 2.0)  # times the median area: components that count as like ones
LEAST_AREA = 4  # pixels


class MeasureArguments(BaseModel):
    """Where to measure."""

    image: str = Field(default="part", description="id of an image of this run: part, reference_1, ..., crop_1, ...")
    box: list[float] = Field(min_length=4, max_length=4, description=f"{BOX}, a little larger than what to measure")


@dataclass(frozen=True)
class Shape:
    """One component in pixels of the original: sides of its smallest rectangle, area, angle of its long side."""

    length: float
    width: float
    area: int
    angle: float
    outline: np.ndarray[tuple[int, ...], np.dtype[np.int32]]


def make_measure(album: Album, mm_per_pixel: float | None = None) -> BaseTool:
    """The tool over this run's pictures; `mm_per_pixel` is the product's scale where it is known."""

    @tool(args_schema=MeasureArguments, response_format="content_and_artifact")
    def measure(box: list[float], image: str = "part") -> tuple[str, Evidence]:
        """Measure what stands out in a box: length, width, area and angle of the largest mark, and how many are alike.

        Use it for sizes that a limit or a count depends on: a scratch's length, the holes of a row. Angles are those
        of the long side against the picture's horizontal, counter-clockwise, 0-180 degrees. Millimetres are given when
        the product was enrolled with a scale, and hold for pictures of that scale only.
        """
        view = album.view(image).inside(checked_box(box))
        found = shapes(view.original.pixels, view.box)
        place = f"box {[round(edge) for edge in view.box]} of {view.source}"
        if not found:
            finding = f"In {place} nothing stands out from its surroundings: nothing to measure."
            return finding, Evidence(tool="measure", finding=finding, numbers={"like_components": 0.0})
        numbers = _numbers(found, mm_per_pixel if view.source == "part" else None)
        drawing = album.save("measured", _drawn(view.original.pixels, found))
        finding = f"In {place}: {_words(numbers)}."
        region = Region(box=view.box, score=0.0, numbers=numbers)
        return finding, Evidence(tool="measure", finding=finding, regions=[region], numbers=numbers, files=[drawing])

    return measure


def shapes(pixels: Pixels, box: Box) -> list[Shape]:
    """The components in `box` that stand out from its surroundings, largest first; none where nothing does."""
    mask, (left, top) = marks(pixels, box)
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    found = []
    for outline in outlines:
        x, y = outline[0, 0]
        area = int(stats[labels[y, x], cv2.CC_STAT_AREA])
        if area >= LEAST_AREA:
            rectangle = cv2.minAreaRect(outline)
            sides = sorted(side + 1 for side in rectangle[1])
            angle = _angle(np.asarray(cv2.boxPoints(rectangle), np.float32))
            found.append(Shape(sides[1], sides[0], area, angle, np.asarray(outline + np.array([left, top]), np.int32)))
    return sorted(found, key=lambda shape: -shape.area)


def _angle(corners: Floats) -> float:
    """Degrees of the long side, counter-clockwise from the horizontal, 0-180."""
    one, other = corners[1] - corners[0], corners[2] - corners[1]
    x, y = one if np.hypot(*one) >= np.hypot(*other) else other
    return float(np.degrees(np.arctan2(-y, x)) % 180)


def _numbers(found: list[Shape], scale: float | None) -> dict[str, float | str]:
    largest = found[0]
    median = float(np.median([shape.area for shape in found]))
    alike = sum(ALIKE[0] * median <= shape.area <= ALIKE[1] * median for shape in found)
    numbers: dict[str, float | str] = {
        "length_px": round(largest.length, 1),
        "width_px": round(largest.width, 1),
        "area_px": float(largest.area),
        "angle_deg": round(largest.angle, 1),
        "components": float(len(found)),
        "like_components": float(alike),
    }
    if scale:
        numbers |= {
            "length_mm": round(largest.length * scale, 3),
            "width_mm": round(largest.width * scale, 3),
            "area_mm2": round(largest.area * scale**2, 4),
        }
    return numbers


def _words(numbers: dict[str, float | str]) -> str:
    size = f"{numbers['length_px']} x {numbers['width_px']} px, area {numbers['area_px']:.0f} px"
    if "length_mm" in numbers:
        size += f" ({numbers['length_mm']} x {numbers['width_mm']} mm, {numbers['area_mm2']} mm2)"
    count = f"{numbers['like_components']:.0f} of {numbers['components']:.0f} components are alike in size"
    return f"the largest mark is {size}, its long side at {numbers['angle_deg']} degrees; {count}"


def _drawn(pixels: Pixels, found: list[Shape]) -> Pixels:
    canvas = np.ascontiguousarray(at_most(pixels)).copy()
    scale = canvas.shape[1] / pixels.shape[1]
    lines = [np.round(shape.outline * scale).astype(np.int32) for shape in found]
    return np.asarray(cv2.drawContours(canvas, lines, -1, RED, 1), np.uint8)
