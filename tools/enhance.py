"""Tool `enhance`: a known picture processed so that faint marks show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

import cv2
import numpy as np
from langchain_core.tools import BaseTool, tool
from pydantic import BaseModel, Field

from tools.album import Album
from tools.detectors import Floats, Pixels
from tools.drawing import at_most
from tools.evidence import Evidence
from tools.resample import smoothed
from tools.zoom import BOX, checked_box, enlarged

LONGEST = 2048  # pixels of a processed picture
WIDE = 9.0  # sigma in pixels: what high_frequency takes away
Way = Literal["contrast", "edges", "high_frequency", "denoise"]

SHOWS: Mapping[Way, str] = {
    "contrast": "local contrast evened out: faint stains and dents show, and so does harmless grain",
    "edges": "the strength of brightness edges, white is strong: cracks and scratches show, colour is gone",
    "high_frequency": "fine structure without light and shade: pits, fibres and scratches show, broad stains are gone",
    "denoise": "noise smoothed away with edges kept: marks finer than about 5 px are gone too",
}


class EnhanceArguments(BaseModel):
    """What to process, and how."""

    image: str = Field(default="part", description="id of an image of this run: part, reference_1, ..., crop_1, ...")
    way: Way = Field(description="contrast, edges, high_frequency or denoise")
    box: list[float] = Field(
        default=[0, 0, 1000, 1000], min_length=4, max_length=4, description=f"{BOX}; the whole image by default"
    )


def make_enhance(album: Album) -> BaseTool:
    """The tool over this run's pictures."""

    @tool(args_schema=EnhanceArguments, response_format="content_and_artifact")
    def enhance(way: Way, image: str = "part", box: list[float] | None = None) -> tuple[str, Evidence]:
        """Process an image so that faint marks show: contrast, edges, high_frequency or denoise.

        Use it when a mark may be too faint to see, and on the same box of a reference before you conclude anything:
        processing makes harmless texture visible as well. It measures nothing and has no normal range, so it never
        speaks for a defect by itself. The result is an image of its own that zoom can look into.
        """
        view = album.view(image).inside(checked_box(box or [0, 0, 1000, 1000]))
        processed = WAYS[way](at_most(view.original.pixels, LONGEST))
        shown = replace(
            view, source=f"{view.source}, {way}", original=replace(view.original, pixels=processed, notes=())
        )
        file = album.save(name := album.keep(shown, "enhanced"), enlarged(shown))
        finding = f"{name} shows box {[round(edge) for edge in view.box]} of {view.source}: {SHOWS[way]}."
        return finding, Evidence(tool="enhance", finding=finding, numbers={"image": name, "way": way}, files=[file])

    return enhance


def _contrast(pixels: Pixels) -> Pixels:
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(8, 8)).apply(lab[..., 0])
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)


def _edges(pixels: Pixels) -> Pixels:
    grey = smoothed(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32), 1.0)
    along, down = (np.asarray(cv2.Sobel(grey, cv2.CV_32F, *way), np.float32) for way in ((1, 0), (0, 1)))
    strength: Floats = np.hypot(along, down)
    return _grey(strength * (255 / max(float(np.quantile(strength, 0.998)), 8.0)))


def _high_frequency(pixels: Pixels) -> Pixels:
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)
    fine = grey - smoothed(grey, WIDE)
    return _grey(127.5 + fine * (100 / max(3 * float(fine.std()), 4.0)))


def _denoise(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.bilateralFilter(pixels, 9, 40, 5), np.uint8)


def _grey(values: Floats) -> Pixels:
    return np.repeat(np.clip(values, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


WAYS: Mapping[Way, Callable[[Pixels], Pixels]] = {
    "contrast": _contrast,
    "edges": _edges,
    "high_frequency": _high_frequency,
    "denoise": _denoise,
}
