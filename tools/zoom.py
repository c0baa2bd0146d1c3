"""Tool `zoom`: a rectangle of a known picture at a useful size, measured."""

from __future__ import annotations

from langchain_core.tools import BaseTool, tool
from pydantic import BaseModel, Field

from tools.album import Album, View
from tools.detectors import Pixels
from tools.evidence import Evidence, Region, ToolError
from tools.image import Box
from tools.mark import measure
from tools.resample import resized

SHORTEST_SIDE = 28  # pixels; smaller pictures are refused by vision language models
LARGEST_RATIO = 200
SHOWN_SIDE = 512  # pixels; crops are enlarged until the longest side reaches this
LARGEST_ENLARGEMENT = 8
BOX = "[x0, y0, x1, y1] of that image, x to the right, y downwards"
LIMITS = "a box is [x0, y0, x1, y1] in 0-1000 of the named image, with x0 < x1 and y0 < y1"


class ZoomArguments(BaseModel):
    """What to look at."""

    image: str = Field(description="id of an image of this run: part, reference_1, ..., crop_1, ...")
    box: list[float] = Field(min_length=4, max_length=4, description=BOX)


def make_zoom(album: Album, mm_per_pixel: float | None = None) -> BaseTool:
    """The tool over this run's pictures; `mm_per_pixel` is the product's scale where it is known."""

    @tool(args_schema=ZoomArguments, response_format="content_and_artifact")
    def zoom(image: str, box: list[float]) -> tuple[str, Evidence]:
        """Cut a box out of an image at full resolution, enlarge it and measure the mark in it.

        Use it on each region that another tool reports, and to compare the same box of a reference. The numbers
        describe the most different patch inside the box against its surroundings: length and width in pixels of the
        original, area in percent of the picture, brightness change in grey levels (0-255, negative is darker),
        colour, and the share of it that lies on the part (0-1).
        """
        view = album.view(image).inside(checked_box(box))
        crop = enlarged(view)
        name = album.keep(view)
        found = measure(view.original.pixels, view.box)
        if mm_per_pixel and view.source == "part":
            sides = {f"{side}_mm": round(float(found[f"{side}_px"]) * mm_per_pixel, 3) for side in ("length", "width")}
            found = {**found, **sides}
        finding = f"{name} shows box {[round(edge) for edge in view.box]} of {view.source}: {found['described']}."
        region = Region(box=view.box, score=0.0, numbers=found)
        file = album.save(name, crop)
        numbers: dict[str, float | str] = {"image": name, "source": view.source, **found}
        evidence = Evidence(tool="zoom", finding=finding, regions=[region], numbers=numbers, files=[file])
        return evidence.finding, evidence

    return zoom


def checked_box(box: list[float]) -> Box:
    """The box; ToolError for edges outside 0-1000 or in the wrong order."""
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= 1000 and 0 <= y0 < y1 <= 1000):
        raise ToolError(f"the box {box} is not valid: {LIMITS}")
    return Box(x0, y0, x1, y1)


def enlarged(view: View) -> Pixels:
    """The view's pixels at a useful size, never under 28 px a side; ToolError when the box is over 1:200."""
    pixels = view.pixels()
    height, width = pixels.shape[:2]
    longest, shortest = max(height, width), min(height, width)
    if longest > LARGEST_RATIO * shortest:
        raise ToolError(
            f"the box is {width} x {height} px of the original, over 1:{LARGEST_RATIO}; choose one less thin"
        )
    scale = max(min(SHOWN_SIDE / longest, LARGEST_ENLARGEMENT), SHORTEST_SIDE / shortest, 1)
    return resized(pixels, round(height * scale), round(width * scale))
