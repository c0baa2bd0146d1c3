"""Boxes and the one loader of pictures: every tool sees the same upright 8-bit RGB."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from tools.decode import UnreadableError, decode, format_of
from tools.pixels import Pixels, to_rgb

MAX_PIXELS = 100_000_000
PICTURE_SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".gif", ".webp"}
)
_SAVED_AS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_JUNK = {"thumbs.db", "desktop.ini"}
_SYSTEM_CAUSES = {
    errno.ENOENT: ("no such file or folder", "check the spelling of the path"),
    errno.ENOTDIR: ("a file where a folder is expected", "check the spelling of the path"),
    errno.EISDIR: ("a folder, not a picture", "name a picture inside it"),
    errno.EACCES: ("permission denied", "give this user access to it"),
    errno.EPERM: ("permission denied", "give this user access to it"),
    errno.ELOOP: ("symbolic links in a circle", "point the link at a file"),
    errno.ENAMETOOLONG: ("name too long", "shorten it"),
    errno.EROFS: ("read-only folder", "choose an output folder that can be written"),
    errno.ENOSPC: ("disk full", "free some space"),
}


class Box(NamedTuple):
    """A rectangle in 0-1000 of the upright original picture: x0 < x1 to the right, y0 < y1 downwards."""

    x0: float
    y0: float
    x1: float
    y1: float

    @classmethod
    def from_pixels(cls, x0: float, y0: float, x1: float, y1: float, *, height: int, width: int) -> Box:
        """Box of the pixel rectangle [x0, x1) x [y0, y1), rounded to a tenth of a thousandth."""
        x, y = 1000 / width, 1000 / height
        return cls(round(x0 * x, 1), round(y0 * y, 1), round(x1 * x, 1), round(y1 * y, 1))

    @property
    def middle(self) -> tuple[float, float]:
        """The point (x, y) in its middle."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    @property
    def area(self) -> float:
        """Its area, in millionths of the picture."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    def touches(self, other: Box) -> bool:
        """Whether the two boxes have an area in common."""
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1

    def pixels(self, *, height: int, width: int) -> tuple[int, int, int, int]:
        """Pixel rectangle (x0, y0, x1, y1), at least one pixel a side, inside the picture."""
        x0 = min(round(self.x0 * width / 1000), width - 1)
        y0 = min(round(self.y0 * height / 1000), height - 1)
        return x0, y0, max(round(self.x1 * width / 1000), x0 + 1), max(round(self.y1 * height / 1000), y0 + 1)


class ImageError(Exception):
    """A file that gives no picture or cannot be written: path, cause and remedy, in one line for a person."""

    def __init__(self, path: Path, cause: str, remedy: str) -> None:
        super().__init__(path, cause, remedy)
        self.path = path
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return _one_line(f"{self.path}: {self.cause}; {self.remedy}")


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """A picture as every tool sees it.

    `pixels` is (H, W, 3) uint8 RGB, upright, contiguous and read-only; `notes` say what the loader did;
    `sha256` is of the file's bytes; `bits` is the depth of the source range that was mapped to 0-255.
    """

    path: Path
    pixels: Pixels
    notes: tuple[str, ...]
    sha256: str
    bits: int

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])


def load_image(
    path: Path | str, *, bits: int | None = None, frame: int = 0, max_pixels: int = MAX_PIXELS
) -> LoadedImage:
    """Load one picture (PNG, JPEG, TIFF, BMP, GIF, WebP), trusting its content and not its name.

    `bits` (8-16) is the source range of files deeper than 8 bits; left out, the range that the file declares
    counts, else 12 bits when no value reaches 4096, else 16. `frame` counts from 0. Raises ImageError.
    """
    if bits is not None and not 8 <= bits <= 16:
        raise ValueError(f"bits is {bits}, expected 8 to 16")
    path = Path(path)
    data = _read(path)
    try:
        decoded = decode(data, frame=frame, max_pixels=max_pixels)
        converted = to_rgb(decoded, bits)
    except UnreadableError as error:
        raise ImageError(path, error.cause, error.remedy) from error
    converted.pixels.setflags(write=False)
    notes = decoded.notes + converted.notes
    return LoadedImage(path, converted.pixels, notes, hashlib.sha256(data).hexdigest(), converted.bits)


def load_images(paths: Sequence[Path], *, bits: int | None = None) -> list[LoadedImage]:
    """Load pictures that will be compared, files deeper than 8 bits all on the scale of the deepest.

    A dark part would otherwise be taken for 12 bits and brightened against its references. Raises ImageError.
    """
    images = [load_image(path, bits=bits) for path in paths]
    deepest = max((image.bits for image in images), default=8)
    return [image if image.bits == deepest else _rescaled(image, deepest) for image in images]


def _rescaled(image: LoadedImage, bits: int) -> LoadedImage:
    """The picture read again at `bits`; pictures of 8 bits come back as they are."""
    again = load_image(image.path, bits=bits)
    if again.bits == image.bits:
        return image
    return replace(again, notes=(*again.notes, f"at {bits} bits like the deepest picture of its set"))


def list_images(folder: Path, *, recursive: bool = False) -> tuple[list[Path], list[Path]]:
    """Pictures of a folder and the files passed over, both sorted.

    A picture has a picture's suffix in any case, or no suffix and a picture's content; dot files, Thumbs.db,
    desktop.ini and broken links are passed over. Links are followed, but no folder is entered twice.
    Raises ImageError when a folder cannot be read.
    """
    pictures: list[Path] = []
    skipped: list[Path] = []
    for path in sorted(_files(folder, recursive)):
        (pictures if _looks_like_picture(path) else skipped).append(path)
    return pictures, skipped


def images_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """As list_images; ImageError for a folder without a picture."""
    pictures, skipped = list_images(folder)
    if not pictures:
        raise ImageError(folder, "no picture in this folder", "name a picture or a folder with pictures")
    return pictures, skipped


def with_folders_read(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The paths, with folders replaced by the pictures in them; ImageError for a folder without one."""
    return tuple(found for path in paths for found in (images_in(path)[0] if path.is_dir() else [path]))


def save_image(path: Path, pixels: Pixels) -> None:
    """Write (H, W, 3) RGB or (H, W) grey uint8 as PNG or JPEG by the suffix; a reader never sees half a file.

    Raises ImageError when the suffix is another or the file cannot be written.
    """
    kind = _SAVED_AS.get(path.suffix.lower())
    if kind is None:
        raise ImageError(path, f"cannot save as {path.suffix or 'a file without suffix'}", "use .png or .jpg")
    encoded = io.BytesIO()
    options = {"compress_level": 1} if kind == "PNG" else {"quality": 95, "subsampling": 0}
    Image.fromarray(pixels).save(encoded, kind, **options)
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(encoded.getbuffer())
        temporary.replace(path)
    except OSError as error:
        raise _system_error(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def jpeg(pixels: Pixels, *, quality: int, **options: int) -> bytes:
    """The picture as the bytes of a JPEG; equal pixels give equal bytes."""
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=quality, **options)
    return encoded.getvalue()


def short_name(name: str, limit: int = 100) -> str:
    """`name` cut to `limit` bytes, with its suffix and a hash of the whole, so derived names fit in 255."""
    raw = name.encode("utf-8", "surrogateescape")
    if len(raw) <= limit:
        return name
    suffix = Path(name).suffix
    tail = f"-{hashlib.sha256(raw).hexdigest()[:8]}{suffix if suffix.isascii() and len(suffix) <= 10 else ''}"
    return raw[: limit - len(tail)].decode("utf-8", "ignore") + tail


def _read(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        # a pipe or a device would block for ever; a folder is left to read_bytes and its own error
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise ImageError(path, "a pipe or device, not a file", "name a picture file")
        return path.read_bytes()
    except OSError as error:
        raise _system_error(path, error) from error
    except ValueError as error:
        raise ImageError(path, f"impossible name ({error})", "check the spelling of the path") from error


def _system_error(path: Path, error: OSError) -> ImageError:
    unknown = (error.strerror or type(error).__name__, "check the disk and the path")
    return ImageError(path, *_SYSTEM_CAUSES.get(error.errno or 0, unknown))


def _files(folder: Path, recursive: bool) -> Iterator[Path]:
    """Files of a folder through links; a folder reached twice is entered once, dot folders never."""

    def refuse(error: OSError) -> None:
        raise _system_error(Path(error.filename), error) from error

    entered = set()
    for here, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        status = Path(here).stat()
        first_time = (status.st_dev, status.st_ino) not in entered
        entered.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if recursive and first_time and not name.startswith("."))
        if first_time:
            yield from (Path(here, name) for name in names)


def _looks_like_picture(path: Path) -> bool:
    if path.name.startswith(".") or path.name.lower() in _JUNK:
        return False
    try:
        if not path.is_file():
            return False
        if path.suffix:
            return path.suffix.lower() in PICTURE_SUFFIXES
        with path.open("rb") as file:
            return format_of(file.read(16)) is not None
    except OSError:
        return False


def _one_line(text: str) -> str:
    """Control, direction and other unprintable characters of file names written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
