"""What a model sees of a run's pictures: which, at what size, and where on the picture as sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.wire.boxes import BoxError, Frame, from_model, to_model
from agent.wire.dialect import Dialect
from agent.wire.pictures import CELLS, compose, encoded, fitted
from tools.album import Album
from tools.image import Box
from tools.pixels import Pixels
from tools.resample import resized
from tools.zoom import enlarged

CANVAS = 2  # canvas pixels in units of one picture's most
Sent = tuple[dict[str, Any], int]


class Sight:
    """One run's pictures in one dialect, each made once; `tokens` counts those asked for since it was set to 0."""

    def __init__(self, dialect: Dialect, album: Album) -> None:
        self.dialect = dialect
        self.album = album
        self.tokens = 0
        self._frames: dict[str, Frame] = {}
        self._canvas: dict[tuple[str, ...], tuple[Sent, dict[str, Frame]]] = {}
        self._sent: dict[str, Sent] = {}

    @property
    def most_references(self) -> int:
        """References that are shown: half of a request's pixels, one picture's share of it left for the part."""
        return max(1, self.dialect.request_pixels // 2 // self.dialect.most_pixels - 1)

    def pixels(self, name: str) -> Pixels:
        """A view of the album or a picture that a tool has drawn, in its own size."""
        if name not in self.album.views:
            return self.album.drawn(name)
        view = self.album.view(name)
        return enlarged(view) if name.startswith("crop_") else view.pixels()

    def block(self, name: str) -> dict[str, Any]:
        """A content block with the picture at the size that the dialect wants."""
        if name not in self._sent:
            pixels = self.pixels(name)
            frame = self._whole(name, pixels)
            self._sent[name] = self._encoded(resized(pixels, frame.height, frame.width))
        return self._counted(self._sent[name])

    def cost(self, name: str) -> int:
        """Pixels that `block` would send."""
        frame = self._whole(name)
        return frame.height * frame.width

    def canvas(self, names: Sequence[str]) -> dict[str, Any]:
        """A content block with up to four pictures on one canvas; their frames count from then on."""
        key = tuple(names[:CELLS])
        if key not in self._canvas:
            most = min(CANVAS * self.dialect.most_pixels, self.dialect.request_pixels)
            pixels, frames = compose([(name, self.pixels(name)) for name in key], self.dialect.factor, most)
            self._canvas[key] = self._encoded(pixels), frames
        sent, self._frames = self._canvas[key]
        return self._counted(sent)

    def frame(self, name: str) -> Frame:
        """Where the named image lies on the picture as sent; BoxError when it is not on the canvas."""
        if self.dialect.most_pictures != 1:
            return self._whole(name)
        if name not in self._frames:
            raise BoxError(f"{name} is not on the canvas; name one of: {', '.join(self._frames)}")
        return self._frames[name]

    @property
    def named(self) -> list[str]:
        """Images that a box can be given on."""
        return [name for name in self.album.views if self.dialect.most_pictures != 1 or name in self._frames]

    def box_from(self, box: Any, name: str) -> Box:
        """The model's box in 0-1000 of the named image; BoxError."""
        return from_model(box, self.frame(name), self.dialect.boxes, name)

    def box_to(self, box: Sequence[float], name: str) -> list[float]:
        """A box in 0-1000 of the named image in the model's scale; BoxError when the image is not on the canvas."""
        return to_model(box, self.frame(name), self.dialect.boxes)

    def _whole(self, name: str, pixels: Pixels | None = None) -> Frame:
        if self.dialect.most_pictures == 1:
            raise BoxError("on a canvas no image is a picture of its own")
        if name not in self._frames:
            dialect = self.dialect
            height, width = (self.pixels(name) if pixels is None else pixels).shape[:2]
            size = fitted(height, width, dialect.factor, dialect.least_pixels, dialect.most_pixels)
            self._frames[name] = Frame.whole(*size)
        return self._frames[name]

    def _encoded(self, pixels: Pixels) -> Sent:
        tokens = pixels.shape[0] * pixels.shape[1] // self.dialect.factor**2
        return {"type": "image_url", "image_url": {"url": encoded(pixels)}}, tokens

    def _counted(self, sent: Sent) -> dict[str, Any]:
        block, tokens = sent
        self.tokens += tokens
        return block
