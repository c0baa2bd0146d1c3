"""The pictures one run knows, by id; everything drawn from them becomes a file in the run's folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.detectors import Pixels
from tools.evidence import ToolError
from tools.image import Box, LoadedImage, load_image, save_image

WHOLE = Box(0, 0, 1000, 1000)


@dataclass(frozen=True)
class View:
    """A rectangle `box` of an original picture: the whole of it, or what an earlier crop showed."""

    source: str
    original: LoadedImage
    box: Box = WHOLE

    def pixels(self) -> Pixels:
        """The rectangle's pixels, from the full-resolution original."""
        height, width = self.original.pixels.shape[:2]
        x0, y0, x1, y1 = self.box.pixels(height=height, width=width)
        return self.original.pixels[y0:y1, x0:x1]

    def inside(self, box: Box) -> View:
        """The view of `box`, which is given in 0-1000 of this view."""
        left, top, right, bottom = self.box
        x, y = (right - left) / 1000, (bottom - top) / 1000
        absolute = Box(left + box.x0 * x, top + box.y0 * y, left + box.x1 * x, top + box.y1 * y)
        return View(self.source, self.original, absolute)


class Album:
    """Views by id: `part`, `reference_1`, ..., and every view that `keep` was given."""

    def __init__(self, folder: Path, part: LoadedImage, references: Sequence[LoadedImage] = ()) -> None:
        self.folder = folder
        self.views = {"part": View("part", part)}
        for number, reference in enumerate(references, start=1):
            self.views[f"reference_{number}"] = View(f"reference_{number}", reference)

    @property
    def part(self) -> Pixels:
        """The part's pixels."""
        return self.views["part"].original.pixels

    @property
    def references(self) -> list[Pixels]:
        """The references' pixels, in order."""
        return [view.original.pixels for name, view in self.views.items() if name.startswith("reference_")]

    def view(self, name: str) -> View:
        """The view with this id; a ToolError lists the ids that exist."""
        if name not in self.views:
            raise ToolError(f"there is no image {name!r}; the images are: {', '.join(self.views)}")
        return self.views[name]

    def keep(self, view: View, kind: str = "crop") -> str:
        """Register a crop, or a view of another kind, and return its id."""
        name = f"{kind}_{sum(key.startswith(f'{kind}_') for key in self.views) + 1}"
        self.views[name] = view
        return name

    def drawn(self, file: str) -> Pixels:
        """The pixels of a picture that `save` has written."""
        return load_image(self.folder / file).pixels

    def save(self, kind: str, pixels: Pixels) -> str:
        """Write a picture into the run's folder and return its file name, made from its kind and its bytes."""
        name = f"{kind}-{hashlib.sha256(pixels.tobytes()).hexdigest()[:10]}.jpg"
        save_image(self.folder / name, pixels)
        return name
