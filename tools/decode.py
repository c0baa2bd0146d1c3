"""From the bytes of a picture file to one decoded frame: what it is, what it declares, if it is whole."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

# Plugins are called by name because Image.open guards size by a global limit that warns;
# ours is checked here, in any thread, before a pixel is decoded.
_PLUGINS: dict[str, type[ImageFile]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "TIFF": TiffImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
    "WebP": WebPImageFile,
}
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"BM": "BMP",
    b"GIF8": "GIF",
}
_DECODER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,
    struct.error,
    zlib.error,
)
_COPY_AGAIN = "copy it again from its source"
_SHRINK = "shrink it or cut the part out"
_MODES = {
    "1",
    "L",
    "P",
    "LA",
    "PA",
    "RGB",
    "RGBA",
    "RGBa",
    "RGBX",
    "CMYK",
    "YCbCr",
    "I;16",
    "I;16B",
    "I",
    "F",
}

# TIFF and EXIF tag numbers
_IMAGE_WIDTH, _BITS_PER_SAMPLE, _PHOTOMETRIC, _DESCRIPTION, _ORIENTATION = 256, 258, 262, 270, 274
_SAMPLES_PER_PIXEL, _MAX_SAMPLE_VALUE, _SAMPLE_FORMAT = 277, 281, 339

_TURNS = {
    2: (Image.Transpose.FLIP_LEFT_RIGHT, "mirrored left to right"),
    3: (Image.Transpose.ROTATE_180, "turned by 180 degrees"),
    4: (Image.Transpose.FLIP_TOP_BOTTOM, "mirrored top to bottom"),
    5: (Image.Transpose.TRANSPOSE, "mirrored along the diagonal"),
    6: (Image.Transpose.ROTATE_270, "turned by 90 degrees"),
    7: (Image.Transpose.TRANSVERSE, "mirrored along the other diagonal"),
    8: (Image.Transpose.ROTATE_90, "turned by 270 degrees"),
}


class UnreadableError(Exception):
    """Why these bytes give no trustworthy picture, and what a person can do; the caller adds the path."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded, upright frame with what its file says about the samples.

    `depth` is the bits of a stored sample, `declared` the bits in use where the file names them (PNG sBIT,
    TIFF MaxSampleValue or BitsPerSample); `white_is_zero` marks inverted grey that Pillow leaves as stored.
    """

    image: Image.Image
    data: bytes
    notes: tuple[str, ...]
    depth: int
    declared: int | None
    white_is_zero: bool


def format_of(data: bytes) -> str | None:
    """Name of the format whose signature opens `data` (16 bytes are enough), whatever the file is called."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return next((name for signature, name in _SIGNATURES.items() if data.startswith(signature)), None)


def decode(data: bytes, *, frame: int, max_pixels: int) -> Frame:
    """The upright frame number `frame` (from 0); size and channels are checked before its pixels are decoded.

    Raises UnreadableError for anything but a whole picture of a kind we understand.
    """
    kind = format_of(data)
    if kind is None:
        raise _not_a_picture(data)
    if kind == "PNG":
        _check_png(data)
    elif kind == "TIFF":
        _check_channels(data)
    with decoder_errors("inside its header"):
        image = _PLUGINS[kind](io.BytesIO(data))
        _check_header(image, max_pixels)
        frame_note = _choose_frame(image, frame)
        # later pages have sizes of their own, and going to one may decode those before it
        _check_header(image, max_pixels)
    with decoder_errors("before its last row"):
        orientation = image.getexif().get(_ORIENTATION)
        image.load()
        if kind == "JPEG":
            _check_jpeg_tail(data, image)
        depth, declared, white_is_zero = _sample_range(image, data)
        upright, turn_note = _upright(image, orientation)
    return Frame(upright, data, frame_note + turn_note, depth, declared, white_is_zero)


@contextmanager
def decoder_errors(end: str) -> Iterator[None]:
    """Turn what a decoder raises into UnreadableError; `end` is where a file cut short would end."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise UnreadableError(f"too large ({error})", _SHRINK) from error
    except _DECODER_ERRORS as error:
        text = str(error) or type(error).__name__
        if "truncated" in text.lower():
            raise _incomplete(end) from error
        if "TEXT" in text:
            raise UnreadableError(f"oversized text chunk ({text})", "save it again without metadata") from error
        raise UnreadableError(f"damaged file or unknown variant ({text})", f"{_COPY_AGAIN} or as PNG") from error


def _incomplete(end: str) -> UnreadableError:
    return UnreadableError(f"incomplete file, it ends {end}", _COPY_AGAIN)


def _not_a_picture(data: bytes) -> UnreadableError:
    start = data[:512].lstrip().lower()
    if not data:
        return UnreadableError("empty file (0 bytes)", _COPY_AGAIN)
    if start.startswith(b"version https://git-lfs"):
        return UnreadableError("a Git LFS pointer, not the picture itself", "run `git lfs pull` in its repository")
    if start.startswith((b"<!doctype html", b"<html")):
        return UnreadableError("an HTML page, not a picture", "download it again: the server sent a page")
    return UnreadableError(f"not a picture of a known format ({', '.join(_PLUGINS)})", "save it as PNG")


def _choose_frame(image: ImageFile, frame: int) -> tuple[str, ...]:
    frames = getattr(image, "n_frames", 1)
    if not 0 <= frame < frames:
        raise UnreadableError(f"no frame {frame}, it holds {frames}", f"choose a frame from 0 to {frames - 1}")
    if frames == 1:
        return ()
    image.seek(frame)
    return (f"frame {frame + 1} of {frames}",)


def _check_header(image: ImageFile, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        size = f"{image.width} x {image.height} pixels, the limit is {max_pixels / 1e6:g} megapixels"
        raise UnreadableError(f"too large ({size})", _SHRINK)
    if image.mode not in _MODES:
        raise UnreadableError(f"colour mode {image.mode}, expected grey or RGB", "save it as grey or RGB")


def _check_png(data: bytes) -> None:
    """Walk every chunk: Pillow neither verifies the checksums of pixel data nor asks for the end mark."""
    for _ in _png_chunks(data):
        pass


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Type and body of each chunk up to IEND, once its checksum is verified."""
    view, start, kind = memoryview(data), 8, b""
    while kind != b"IEND":
        if start + 12 > len(view):
            raise _incomplete("without the end mark of PNG")
        length, kind = struct.unpack_from(">I4s", view, start)
        end = start + 8 + length
        if end + 4 > len(view):
            raise _incomplete(f"inside its {kind.decode('ascii', 'replace')} chunk")
        if zlib.crc32(view[start + 4 : end]) != int.from_bytes(view[end : end + 4]):
            name = kind.decode("ascii", "replace")
            raise UnreadableError(f"damaged file, the checksum of its {name} chunk is wrong", _COPY_AGAIN)
        yield kind, view[start + 8 : end]
        start = end + 4


def _check_channels(data: bytes) -> None:
    """Refuse TIFF layouts that Pillow cannot open, or opens silently as hundreds of narrow pages."""
    with decoder_errors("inside its header"):
        tags = ImageFileDirectory_v2(data[: 16 if data[2] == 43 else 8])
        stream = io.BytesIO(data)
        stream.seek(tags.next)
        tags.load(stream)
        channels = _channels_of_stack(tags) or tags.get(_SAMPLES_PER_PIXEL, 1)
        if channels > 4:
            raise UnreadableError(f"{channels} channels, expected 1, 3 or 4", "save its colour or one grey channel")
        if channels > 1 and 3 in _numbers(tags, _SAMPLE_FORMAT):
            raise UnreadableError(f"{channels} channels of floating point", "save it as 8- or 16-bit integers")


def _channels_of_stack(tags: ImageFileDirectory_v2) -> int | None:
    """Channels by the array shape (H, W, C) that tifffile notes when it stores each row as a page."""
    try:
        shape = json.loads(tags.get(_DESCRIPTION, ""))["shape"]
    except (ValueError, TypeError, KeyError):
        return None
    if len(shape) == 3 and shape[2] == tags.get(_IMAGE_WIDTH):
        return int(shape[2])
    return None


def _numbers(tags: ImageFileDirectory_v2, tag: int) -> tuple[int, ...]:
    value = tags.get(tag, ())
    return value if isinstance(value, tuple) else (value,)


def _check_jpeg_tail(data: bytes, image: ImageFile) -> None:
    """Refuse a JPEG file cut short in front of an end mark, as cameras write after a lost packet.

    libjpeg paints the missing blocks mid-grey without an error. Bits put in front of the mark are read only
    when blocks are missing, and then change the picture. Only a grey last pixel is worth decoding twice.
    """
    last = image.getpixel((image.width - 1, image.height - 1))
    if set(last if isinstance(last, tuple) else (last,)) - {127, 128}:
        return
    end = data.rfind(b"\xff\xd9")
    with JpegImageFile(io.BytesIO(data[:end] + bytes(1024) + data[end:])) as padded:
        padded.load()
        if padded.tobytes() != image.tobytes():
            raise _incomplete("before its last row")


def _sample_range(image: ImageFile, data: bytes) -> tuple[int, int | None, bool]:
    if isinstance(image, PngImageFile):
        return data[24], _significant_bits(data), False
    if isinstance(image, TiffImageFile):
        tags = image.tag_v2
        depth = max(_numbers(tags, _BITS_PER_SAMPLE), default=1)
        inverted = image.mode.startswith("I;16") and tags.get(_PHOTOMETRIC) == 0
        return depth, _full_range(tags) or (depth if 8 < depth < 16 else None), inverted
    return 8, None, False


def _significant_bits(data: bytes) -> int | None:
    for kind, body in _png_chunks(data):
        if kind == b"sBIT":
            return max(body[: 1 if len(body) < 3 else 3])
        if kind == b"IDAT":
            break
    return None


def _full_range(tags: ImageFileDirectory_v2) -> int | None:
    """Bits of MaxSampleValue if it is a whole range (4095): some writers put the picture's maximum there."""
    top = max(_numbers(tags, _MAX_SAMPLE_VALUE), default=0)
    return top.bit_length() if top & (top + 1) == 0 and top >= 255 else None


def _upright(image: ImageFile, orientation: int | None) -> tuple[Image.Image, tuple[str, ...]]:
    if orientation not in _TURNS:
        return image, ()
    method, words = _TURNS[orientation]
    # Pillow has already turned a TIFF file by the time it is loaded
    upright = image if isinstance(image, TiffImageFile) else image.transpose(method)
    return upright, (f"{words} from EXIF",)
