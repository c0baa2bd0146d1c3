"""From decoded samples of any depth and colour model to 8-bit RGB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tools.decode import Frame, UnreadableError, decoder_errors

Pixels = NDArray[np.uint8]

_ROWS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Converted:
    """8-bit RGB (H, W, 3), the bits of the source range mapped to 0-255, and what was done in words."""

    pixels: Pixels
    bits: int
    notes: tuple[str, ...]


def to_rgb(frame: Frame, bits: int | None) -> Converted:
    """8-bit RGB; deeper samples are scaled from `bits`, else the declared range, else 12 or 16 bits.

    A picture is never stretched to its own maximum, which would hide faults of brightness.
    Raises UnreadableError where no scale can be right.
    """
    mode = frame.image.mode
    if mode == "F":
        return _from_float(np.asarray(frame.image), bits)
    if mode.startswith("I"):
        return _from_grey(frame, bits)
    if frame.depth == 16 and mode in ("RGB", "RGBA"):
        return _from_deep_colour(frame, bits)
    with decoder_errors("before its last row"):
        pixels, flattened = _flatten(frame.image)
    return Converted(pixels, 8, ("alpha flattened on white",) if flattened else ())


def _flatten(image: Image.Image) -> tuple[Pixels, bool]:
    """RGB over white and whether anything was transparent, in bands so that no second full copy is held."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    flattened = False
    for top in range(0, image.height, _ROWS_AT_ONCE):
        band = image.crop((0, top, image.width, min(top + _ROWS_AT_ONCE, image.height)))
        if image.has_transparency_data:
            rgba = band.convert("RGBA")
            flattened |= rgba.getchannel("A").getextrema() != (255, 255)
            band = Image.new("RGB", band.size, "white")
            band.paste(rgba, mask=rgba)
        pixels[top : top + band.height] = np.asarray(band.convert("RGB"))
    return pixels, flattened


def _from_grey(frame: Frame, bits: int | None) -> Converted:
    _refuse_transparent_colour(frame)
    values = np.asarray(frame.image)
    _refuse(values < 0, "negative")
    _refuse(values > 65535, "above 65535, more than 16 bits hold")
    depth = _depth(int(values.max()), frame.declared, bits)
    grey = (values >> (depth - 8)).astype(np.uint8)
    notes = [f"{depth}-bit grey scaled to 8 bits"]
    if frame.white_is_zero:
        grey = 255 - grey
        notes.append("inverted, as it stores white as zero")
    return Converted(_three_channels(grey), depth, tuple(notes))


def _from_deep_colour(frame: Frame, bits: int | None) -> Converted:
    """16-bit colour: Pillow keeps the high bytes, which are all it takes unless fewer bits are in use."""
    _refuse_transparent_colour(frame)
    high = int(np.max(frame.image.getextrema()[:3]))
    depth = _depth(high << 8 | 255, frame.declared, bits)
    pixels, flattened = _flatten(frame.image)
    if depth < 16:
        pixels = (_deep_samples(frame, pixels) >> (depth - 8)).astype(np.uint8)
    notes = (f"{depth}-bit colour scaled to 8 bits",)
    return Converted(pixels, depth, (*notes, "alpha flattened on white") if flattened else notes)


def _deep_samples(frame: Frame, high: Pixels) -> NDArray[np.uint16]:
    """Whole samples (H, W, 3) by OpenCV, trusted only if their high bytes are those that Pillow decoded."""
    import cv2

    samples = cv2.imdecode(np.frombuffer(frame.data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is not None and samples.dtype == np.uint16 and samples.shape == high.shape:
        rgb = samples[..., ::-1].astype(np.uint16)
        if np.array_equal(rgb >> 8, high):
            return rgb
    raise UnreadableError("colour below 16 bits with alpha, pages or a turn", "save it as plain 8-bit RGB")


def _from_float(values: NDArray[np.float32], bits: int | None) -> Converted:
    _refuse(~np.isfinite(values), "NaN or infinite")
    _refuse(values < 0, "negative")
    _refuse(values > 65535, "above 65535, more than 16 bits hold")
    top = float(values.max())
    if top < 2:
        # resampling overshoots 1 a little; a picture of 0-255 that stays below 2 is black in any case
        grey, depth, span = np.minimum(values, 1) * 255, 8, "0-1"
    else:
        depth = 8 if top <= 255 and not bits else _depth(int(top), None, bits)
        grey, span = values * (255 / (2**depth - 1)), f"0-{2**depth - 1}"
    return Converted(_three_channels(np.rint(grey).astype(np.uint8)), depth, (f"float {span} scaled to 8 bits",))


def _depth(top: int, declared: int | None, asked: int | None) -> int:
    """Bits of the source range: as asked, else as declared (larger values disprove it), else 12 or 16."""
    if asked:
        if top >> asked:
            raise UnreadableError(f"values up to {top} do not fit the {asked} bits asked for", "ask for more bits")
        return asked
    if declared and 8 <= declared <= 16:
        return 16 if top >> declared else declared
    return 12 if top < 4096 else 16


def _refuse(wrong: NDArray[np.bool_], what: str) -> None:
    count = int(np.count_nonzero(wrong))
    if count:
        raise UnreadableError(f"{count} of {wrong.size} values are {what}", "save it as 8- or 16-bit integers")


def _refuse_transparent_colour(frame: Frame) -> None:
    if "transparency" in frame.image.info:
        raise UnreadableError("a transparent colour in a 16-bit picture", "save it without transparency")


def _three_channels(grey: Pixels) -> Pixels:
    return np.repeat(grey[:, :, None], 3, axis=2)
