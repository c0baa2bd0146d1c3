"""Product folders in the MVTec layout and their masks: paired by name only, what does not fit is listed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tools.decode import UnreadableError, decode
from tools.image import MAX_PIXELS, ImageError, list_images, load_image, short_name

GOOD = "good"
LARGEST_INDEX = 31  # integer masks up to this value hold class numbers, above it grey levels
SUSPICIOUS_SHARE = 0.8  # masks of real defects measured so far stay under it
_LONGEST_NAME = 255

Kind = Literal[
    "unreadable",
    "duplicate",
    "no mask",
    "ambiguous mask",
    "mask without picture",
    "bad entry",
    "missing file",
    "missing template",
]


class DatasetError(ImageError):
    """A data set cannot be read: path, cause and remedy in one line."""


class MaskError(DatasetError):
    """A mask cannot be read or does not fit its picture."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a data set; `where` is a path or an entry's key, `text` says what for a person."""

    where: str
    kind: Kind
    text: str


@dataclass(frozen=True)
class Sample:
    """A tested picture; `defect` is the name of its folder, `masks` is empty where there is none."""

    path: Path
    defect: str
    masks: tuple[Path, ...]

    @property
    def defective(self) -> bool:
        return self.defect != GOOD


@dataclass(frozen=True)
class ProductData:
    """The readable pictures of one product, what is wrong in its folder, and the number of other files."""

    folder: Path
    train: tuple[Path, ...]
    test: tuple[Sample, ...]
    problems: tuple[Problem, ...]
    skipped: int


@dataclass(frozen=True, eq=False)
class Mask:
    """Where the defect is: pixels (H, W) bool, and in words what was done and what looks wrong."""

    pixels: NDArray[np.bool_]
    notes: tuple[str, ...]


def read_product(folder: Path) -> ProductData:
    """Read `<folder>/train/good`, `test/<defect>` and `ground_truth/<defect>`, decoding every picture once.

    Unreadable pictures are left out and listed; duplicates, missing and doubtful masks are listed. Raises
    DatasetError when there is neither train/good nor test.
    """
    train = folder / "train" / GOOD
    kinds = [train, *sorted((folder / "test").glob("[!.]*"))]
    read = {kind: _readable(kind) for kind in kinds if kind.is_dir()}
    if not read:
        raise DatasetError(folder, "neither train/good nor test inside", "name a product folder in MVTec layout")
    learned = read.pop(train, _Readable({}, (), 0))
    everything = (learned, *read.values())
    problems = [problem for pictures in everything for problem in pictures.problems]
    samples: list[Sample] = []
    for kind, pictures in read.items():
        paired, doubts = _paired(kind, list(pictures.hashes), folder / "ground_truth" / kind.name)
        samples += paired
        problems += doubts
    problems += _duplicates({path: sha for pictures in everything for path, sha in pictures.hashes.items()})
    skipped = sum(pictures.skipped for pictures in everything)
    return ProductData(folder, tuple(learned.hashes), tuple(samples), tuple(problems), skipped)


@dataclass(frozen=True)
class _Readable:
    """Readable pictures of one folder with their sha256, the unreadable ones, the number of other files."""

    hashes: dict[Path, str]
    problems: tuple[Problem, ...]
    skipped: int


def _readable(folder: Path) -> _Readable:
    paths, skipped = list_images(folder)
    hashes: dict[Path, str] = {}
    problems = []
    for path in paths:
        try:
            hashes[path] = load_image(path).sha256
        except ImageError as error:
            problems.append(Problem(str(path), "unreadable", f"{error.cause}; {error.remedy}"))
    return _Readable(hashes, tuple(problems), len(skipped))


def _duplicates(hashes: Mapping[Path, str]) -> list[Problem]:
    first: dict[str, Path] = {}
    for path, sha in hashes.items():
        first.setdefault(sha, path)
    return [
        Problem(str(path), "duplicate", f"same bytes as {first[sha]}")
        for path, sha in hashes.items()
        if first[sha] != path
    ]


def _paired(kind: Path, pictures: list[Path], truth: Path) -> tuple[list[Sample], list[Problem]]:
    """Samples of one test folder; a mask that two pictures could claim goes to neither."""
    if kind.name == GOOD:
        return [Sample(path, GOOD, ()) for path in pictures], []
    masks = _masks_by_name(truth)
    claims = Counter(path.stem for path in list_images(kind)[0])
    problems = []
    for path in pictures:
        if claims[path.stem] > 1:
            text = f"{claims[path.stem]} pictures are called {path.stem}"
            problems.append(Problem(str(path), "ambiguous mask", text))
        elif path.stem not in masks:
            problems.append(Problem(str(path), "no mask", f"no {path.stem}_mask.* in {truth}"))
    problems += [
        Problem(str(paths[0]), "mask without picture", f"no {name}.* in {kind}")
        for name, paths in masks.items()
        if name not in claims
    ]
    certain = {name: paths for name, paths in masks.items() if claims[name] == 1}
    return [Sample(path, kind.name, certain.get(path.stem, ())) for path in pictures], problems


def _masks_by_name(truth: Path) -> dict[str, tuple[Path, ...]]:
    """Masks by their picture's stem: `000_mask.png`, else `000.png`, else all in `000/` (MVTec LOCO)."""
    if not truth.is_dir():
        return {}
    folders = sorted(path for path in truth.glob("[!.]*") if path.is_dir())
    masks = {path.name: tuple(files) for path in folders if (files := list_images(path)[0])}
    # in this order 000_mask.png overwrites 000.png
    for path in sorted(list_images(truth)[0], key=lambda path: path.stem.endswith("_mask")):
        masks[path.stem.removesuffix("_mask")] = (path,)
    return masks


def load_mask(path: Path | Sequence[Path], *, height: int, width: int, allow_resize: bool = False) -> Mask:
    """Read a mask, or the union of several, for an upright picture of `height` by `width` pixels.

    Palette and one-bit masks and integers up to 31 count every non-zero value; all others count what lies
    above half of their own maximum, so soft edges and JPEG noise stay out. Transparent pixels are background.
    Nothing is inverted: a mask that covers over 80 % is used as it is and says so in its notes, as does an
    empty one. Raises MaskError for an unreadable file and for another size, unless the aspect agrees and
    `allow_resize`, ValueError for no mask at all.
    """
    paths = [path] if isinstance(path, Path) else list(path)
    if not paths:
        raise ValueError("no mask to read")
    read = [_one_mask(one, height, width, allow_resize) for one in paths]
    pixels = np.logical_or.reduce([mask.pixels for mask in read])
    notes = [note for mask in read for note in mask.notes]
    if len(read) > 1:
        notes.append(f"union of {len(read)} masks")
    if not pixels.any():
        notes.append("empty: no pixel is marked")
    if pixels.mean() > SUSPICIOUS_SHARE:
        notes.append(f"covers {pixels.mean():.0%} of the picture: inverted? Used as it is")
    return Mask(pixels, tuple(dict.fromkeys(notes)))


def read_mask(path: Path) -> Mask:
    """One mask as `load_mask` reads it, at its own size; raises MaskError for an unreadable file."""
    try:
        image = decode(path.read_bytes(), frame=0, max_pixels=MAX_PIXELS).image
    except UnreadableError as error:
        raise MaskError(path, error.cause, error.remedy) from error
    except OSError as error:
        raise MaskError(path, error.strerror or "cannot be read", "check the path") from error
    return Mask(*_marked(_levels(image), every_value=image.mode in ("1", "P")))


def _one_mask(path: Path, height: int, width: int, allow_resize: bool) -> Mask:
    mask = read_mask(path)
    pixels = mask.pixels
    if pixels.shape == (height, width):
        return mask
    _check_size(path, pixels.shape, (height, width), allow_resize)
    resized = cv2.resize(pixels.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT) > 0
    return Mask(resized, (*mask.notes, f"resized from {_size(pixels.shape)} to {_size(resized.shape)}"))


def _levels(image: Image.Image) -> NDArray[Any]:
    """One number a pixel (H, W): palette index, grey level, or the brightest channel of an opaque pixel."""
    levels: NDArray[Any] = np.asarray(image)
    if levels.ndim == 2:
        return np.where(np.isfinite(levels), levels, 0)
    rgba = np.asarray(image.convert("RGBA"))
    brightest: NDArray[Any] = rgba[..., :3].max(axis=2)
    return np.where(rgba[..., 3] > 0, brightest, 0)


def _marked(levels: NDArray[Any], *, every_value: bool) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    largest = levels.max()
    if every_value or (levels.dtype.kind in "iu" and largest <= LARGEST_INDEX):
        return levels != 0, (f"class numbers up to {int(largest)}, all counted",) if largest > 1 else ()
    marked = levels > largest / 2
    soft = np.any((levels != largest) & (levels != 0))
    return marked, (f"soft edges, counted above half of the maximum {largest:g}",) if soft else ()


def _check_size(path: Path, mask: tuple[int, ...], picture: tuple[int, int], allow_resize: bool) -> None:
    sizes = f"the mask is {_size(mask)}, its picture {_size(picture)} (width x height)"
    export = "export the mask again at the size of its picture"
    if mask == picture[::-1]:
        raise MaskError(path, f"sides swapped: {sizes}", "turn the mask the way its picture was turned")
    # rounding a scaled side moves the cross product by half of the other side, cutting it off by a whole one
    if abs(mask[0] * picture[1] - mask[1] * picture[0]) > max(picture):
        raise MaskError(path, f"another shape: {sizes}", export)
    if not allow_resize:
        raise MaskError(path, f"another size: {sizes}", f"{export}, or allow resizing")


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def result_path(output_root: Path, data_root: Path, image_path: Path, suffix: str) -> Path:
    """File for a result of one picture: `crack/000.png` with `.map.png` gives `crack/000.png.map.png`.

    Folder and extension are kept, so no two pictures share a result; a long name is cut and gets a hash.
    Raises DatasetError for a picture outside `data_root` or a suffix that would leave `output_root`.
    """
    try:
        relative = _plain(image_path).relative_to(_plain(data_root))
    except ValueError as error:
        raise DatasetError(image_path, f"outside the data folder {data_root}", "name a picture inside it") from error
    name = short_name(relative.name, _LONGEST_NAME - len(os.fsencode(suffix))) + suffix
    if not relative.name or Path(name).name != name:
        raise DatasetError(image_path, f"no file can be named {name!r}", "use a picture and a plain suffix")
    return output_root / relative.parent / name


def _plain(path: Path) -> Path:
    """Absolute without `..`, and without following links: data sets are often linked together."""
    return Path(os.path.normpath(path.absolute()))
