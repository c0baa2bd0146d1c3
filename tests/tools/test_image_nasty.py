"""Every sample of shared/data/nasty that the loader owns, by the row of that folder's README."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tools.image import ImageError, list_images, load_image, load_images, save_image

pytestmark = pytest.mark.filterwarnings("error")


@dataclass(frozen=True)
class Loads:
    """What a sample must come out as: its twin to within `apart` grey levels on average, with these notes."""

    row: int
    sample: str
    twin: str
    notes: tuple[str, ...] = ()
    bits: int = 8
    apart: float = 0.0


@dataclass(frozen=True)
class Refused:
    row: int
    sample: str
    cause: str
    remedy: str


RGB, GREY = "00_plain.png", "depth/gray8.png"
SMALL, SMALL_JPEG = "folder_junk/001.png", "folder_junk/001.jpg"
COPY, SHRINK = "copy it again", "shrink it"

LOADS = [
    Loads(1, "depth/gray16.png", GREY, ("16-bit grey scaled to 8 bits",), bits=16),
    Loads(1, "depth/rgb48.png", RGB, ("16-bit colour scaled to 8 bits",), bits=16),
    Loads(1, "depth/rgb16.tif", RGB, ("16-bit colour scaled to 8 bits",), bits=16),
    Loads(2, "depth/gray12_in_16.png", GREY, ("12-bit grey scaled to 8 bits",), bits=12),
    Loads(3, "depth/gray16_bigendian.tif", GREY, ("16-bit grey scaled to 8 bits",), bits=16),
    Loads(4, "depth/float32_0_1.tif", GREY, ("float 0-1 scaled to 8 bits",)),
    Loads(6, "depth/three_pages.tif", RGB, ("frame 1 of 3",)),
    Loads(6, "frames/animated.gif", RGB, ("frame 1 of 3",), apart=4),
    Loads(6, "frames/animated.webp", RGB, ("frame 1 of 3",), apart=3),
    Loads(6, "frames/animated_apng.png", RGB, ("frame 1 of 3",)),
    Loads(7, "alpha/rgba_hidden_magenta.png", RGB, ("alpha flattened on white",), apart=2),
    Loads(7, "alpha/gray_alpha.png", GREY, ("alpha flattened on white",), apart=2),
    Loads(8, "alpha/palette.png", RGB, apart=4),
    Loads(8, "alpha/palette_transparent_bytes.png", RGB, ("alpha flattened on white",), apart=5),
    Loads(8, "alpha/gray_trns.png", GREY, ("alpha flattened on white",)),
    Loads(9, "depth/gray8.png", "colour/gray.bmp"),
    Loads(9, "colour/gray.bmp", GREY),
    Loads(16, "orientation/exif_3.jpg", RGB, ("turned by 180 degrees from EXIF",), apart=3),
    Loads(16, "orientation/exif_6.jpg", RGB, ("turned by 90 degrees from EXIF",), apart=3),
    Loads(16, "orientation/exif_8.jpg", RGB, ("turned by 270 degrees from EXIF",), apart=3),
    Loads(16, "orientation/exif_6.png", RGB, ("turned by 90 degrees from EXIF",)),
    Loads(17, "colour/cmyk.jpg", RGB, apart=1),
    Loads(17, "colour/cmyk_no_adobe_marker.jpg", RGB, apart=1),
    Loads(17, "colour/plain.bmp", RGB),
    Loads(17, "colour/plain.webp", RGB),
    Loads(17, "colour/progressive.jpg", RGB, apart=3),
    Loads(21, "names/UPPER.PNG", SMALL),
    Loads(21, "names/scan.TIF", SMALL),
    Loads(21, "names/Mixed.Jpg", SMALL_JPEG),
    Loads(21, "names/photo.JPEG", SMALL_JPEG),
    Loads(21, "names/jpeg_named.png", SMALL_JPEG),
    Loads(21, "names/no_extension", SMALL_JPEG),
    Loads(22, "names/缺陷图像_001.png", SMALL),
    Loads(22, "names/Prüfbild café é.png", SMALL),
    Loads(22, "names/cafe\N{COMBINING ACUTE ACCENT}_nfd.png", SMALL),
    Loads(22, "names/בדיקה.png", SMALL),
    Loads(22, "names/🔩screw.png", SMALL),
    Loads(23, "names/#hash %20 percent & amp.png", SMALL),
    Loads(23, "names/-leading-dash.png", SMALL),
    Loads(23, "names/003(2).png", SMALL),
    Loads(23, "names/dots.in.name.v1.2.png", SMALL),
    Loads(23, "names/name with  two spaces.png", SMALL),
    Loads(23, "names/quote'and\"double.png", SMALL),
    Loads(23, f"names/{'x' * 240}.png", SMALL),
    Loads(24, "names/.hidden.png", SMALL),
    Loads(24, SMALL_JPEG, SMALL, apart=6),
    Loads(24, "folder_junk/copy_of_001.png", SMALL),
]
REFUSED = [
    Refused(4, "depth/float32_nan_inf_negative.tif", "2200 of 52250 values are NaN or infinite", "integers"),
    Refused(5, "depth/rgb_float32.tif", "3 channels of floating point", "integers"),
    Refused(5, "depth/five_channels.tif", "5 channels, expected 1, 3 or 4", "one grey channel"),
    Refused(14, "size/900_megapixel_bomb.png", "30000 x 30000 pixels, the limit is 100", SHRINK),
    Refused(14, "size/120_megapixel_warning.png", "12000 x 10000 pixels, the limit is 100", SHRINK),
    Refused(15, "size/3MB_text_chunk.png", "oversized text chunk", "without metadata"),
    Refused(18, "broken/truncated_half.jpg", "incomplete file, it ends before its last row", COPY),
    # Only the end mark is gone and the pixels may all be there. But a file without its end was cut while it
    # was copied, nobody can tell how much is missing, and copying it again costs nothing.
    Refused(18, "broken/truncated_last_2_bytes.jpg", "incomplete file, it ends before its last row", COPY),
    Refused(18, "broken/truncated_half.png", "incomplete file, it ends inside its IDAT chunk", COPY),
    Refused(18, "broken/flipped_byte.png", "the checksum of its IDAT chunk is wrong", COPY),
    Refused(19, "broken/header_only.jpg", "incomplete file, it ends inside its header", COPY),
    Refused(20, "broken/zero_bytes.png", "empty file (0 bytes)", COPY),
    Refused(20, "broken/html_error_page.jpg", "an HTML page", "download it again"),
    Refused(20, "broken/git_lfs_pointer.png", "a Git LFS pointer", "git lfs pull"),
    Refused(24, "folder_junk/._001.png", "not a picture of a known format", "save it as PNG"),
]
SIZES = [
    (10, "3x1000_looks_like_channels.png", 1000, 3),
    (10, "1x1000.png", 1000, 1),
    (11, "332x27_under_28.png", 27, 332),
    (11, "1x1.png", 1, 1),
    (12, "1093x5_ratio_218.png", 5, 1093),
    (12, "4000x20_ratio_exactly_200.png", 20, 4000),
    (13, "31x639.png", 639, 31),
    (34, "constant_grey.png", 256, 256),
]


def row_id(sample: Loads | Refused) -> str:
    return f"row{sample.row:02}-{Path(sample.sample).name[:40]}"


@pytest.fixture
def plain_user() -> Iterator[None]:
    """Root ignores mode bits, so the test goes on as another user."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.fixture
def open_folder(data: Path) -> Iterator[Path]:
    """A folder that every user may enter and nobody but root may change, with one good picture in it."""
    folder = Path(tempfile.mkdtemp())
    shutil.copyfile(data / "nasty" / SMALL, folder / "part.png")
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("case", LOADS, ids=row_id)
def test_sample_loads_like_its_twin(data: Path, case: Loads) -> None:
    image = load_image(data / "nasty" / case.sample)
    twin = load_image(data / "nasty" / case.twin)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags.c_contiguous
    assert image.pixels.shape == twin.pixels.shape
    assert np.abs(image.pixels.astype(int) - twin.pixels).mean() <= case.apart
    assert (image.notes, image.bits) == (case.notes, case.bits)


@pytest.mark.parametrize("case", REFUSED, ids=row_id)
def test_sample_is_refused_with_path_cause_and_remedy(data: Path, case: Refused) -> None:
    path = data / "nasty" / case.sample
    with pytest.raises(ImageError) as caught:
        load_image(path)
    error = caught.value
    assert error.path == path
    assert case.cause in error.cause
    assert case.remedy in error.remedy
    assert str(error) == f"{path}: {error.cause}; {error.remedy}"


@pytest.mark.parametrize(("row", "name", "height", "width"), SIZES, ids=[f"row{s[0]:02}-{s[1]}" for s in SIZES])
def test_sample_keeps_its_odd_size(data: Path, row: int, name: str, height: int, width: int) -> None:
    image = load_image(data / "nasty" / "size" / name)
    assert (image.height, image.width) == (height, width), row
    assert image.pixels.shape == (height, width, 3)


def test_no_sample_is_forgotten(data: Path) -> None:
    folders = ("alpha", "broken", "colour", "depth", "frames", "names", "orientation", "size", "folder_junk")
    known = {case.sample for case in LOADS} | {case.sample for case in REFUSED}
    known |= {f"size/{size[1]}" for size in SIZES}
    known |= {"depth/one_bit.png", "orientation/upright_mask.png", SMALL}
    known |= {f"folder_junk/{name}" for name in (".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt")}
    nasty = data / "nasty"
    present = {f.relative_to(nasty).as_posix() for folder in folders for f in (nasty / folder).iterdir()}
    assert present == known


def test_row07_hidden_colours_stay_hidden(data: Path) -> None:
    image = load_image(data / "nasty/alpha/rgba_hidden_magenta.png")
    assert image.pixels.mean() > 220
    assert not (image.pixels == (255, 0, 255)).all(axis=2).any()


def test_row09_one_bit_becomes_black_and_white(data: Path) -> None:
    image = load_image(data / "nasty/depth/one_bit.png")
    assert np.unique(image.pixels).tolist() == [0, 255]
    assert abs(image.pixels.mean() - load_image(data / "nasty" / GREY).pixels.mean()) < 1


def test_row16_turned_pictures_share_the_frame_of_the_upright_mask(data: Path) -> None:
    folder = data / "nasty" / "orientation"
    mask = load_image(folder / "upright_mask.png")
    turned = [load_image(path) for path in sorted(folder.glob("exif_*"))]
    assert len(turned) == 4
    assert {image.pixels.shape for image in turned} == {mask.pixels.shape}


def test_row19_folder_and_missing_file_name_the_path(tmp_path: Path) -> None:
    folder = tmp_path / "is_a_folder.png"
    folder.mkdir()
    with pytest.raises(ImageError, match=r"is_a_folder.png: a folder, not a picture; name a picture inside it"):
        load_image(folder)
    with pytest.raises(ImageError, match=r"gone.png: no such file or folder; check the spelling"):
        load_image(tmp_path / "gone.png")


def test_row21_and_row24_names_are_listed_by_suffix_in_any_case_or_by_content(data: Path) -> None:
    pictures, skipped = list_images(data / "nasty" / "names")
    assert {"UPPER.PNG", "photo.JPEG", "Mixed.Jpg", "scan.TIF", "no_extension"} <= {p.name for p in pictures}
    assert [path.name for path in skipped] == [".hidden.png"]
    assert pictures == sorted(pictures)


@pytest.mark.parametrize("sample", [case for case in LOADS if case.row in (22, 23)], ids=row_id)
def test_row22_and_row23_names_can_be_written(data: Path, tmp_path: Path, sample: Loads) -> None:
    image = load_image(data / "nasty" / sample.sample)
    target = tmp_path / Path(sample.sample).name
    save_image(target, image.pixels)
    assert (load_image(target).pixels == image.pixels).all()
    assert list(tmp_path.iterdir()) == [target]


def test_row24_junk_is_skipped_and_counted(data: Path) -> None:
    pictures, skipped = list_images(data / "nasty" / "folder_junk")
    assert [p.name for p in pictures] == ["001.jpg", "001.png", "copy_of_001.png"]
    assert [p.name for p in skipped] == [".DS_Store", "._001.png", "Thumbs.db", "desktop.ini", "notes.txt"]


def test_row30_references_of_any_kind_arrive_in_the_form_of_the_part(data: Path) -> None:
    names = ["ref", "ref_other_size", "ref_other_aspect", "ref_gray", "ref_bgr_swapped"]
    images = load_images([data / "nasty" / "reference" / f"{name}.png" for name in names])
    assert [(i.height, i.width) for i in images] == [
        (190, 275),
        (276, 400),
        (190, 400),
        (190, 275),
        (190, 275),
    ]
    assert {(i.pixels.dtype, i.pixels.shape[2], i.bits) for i in images} == {(np.dtype(np.uint8), 3, 8)}


def test_row34_constant_picture_stays_constant(data: Path) -> None:
    assert np.unique(load_image(data / "nasty/size/constant_grey.png").pixels).tolist() == [128]


def test_row37_links_are_read_through_and_circles_end(data: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    shutil.copyfile(data / "nasty" / SMALL, tmp_path / "real" / "part.png")
    (tmp_path / "linked.png").symlink_to(tmp_path / "real" / "part.png")
    (tmp_path / "real" / "up").symlink_to(tmp_path)
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "gone.png")

    pictures, skipped = list_images(tmp_path, recursive=True)
    assert [p.relative_to(tmp_path).as_posix() for p in pictures] == ["linked.png", "real/part.png"]
    assert [p.name for p in skipped] == ["broken.png", "circle.png"]
    assert load_image(tmp_path / "linked.png").sha256 == load_image(tmp_path / "real" / "part.png").sha256
    with pytest.raises(ImageError, match="symbolic links in a circle"):
        load_image(tmp_path / "circle.png")


def test_row38_read_only_folder_is_read_and_never_written(open_folder: Path, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("plain_user")
    with pytest.raises(ImageError, match=r"map.png: permission denied"):
        save_image(open_folder / "map.png", np.zeros((2, 2, 3), np.uint8))
    assert list_images(open_folder) == ([open_folder / "part.png"], [])
    assert load_image(open_folder / "part.png").width == 64


def test_row38_file_without_permission_says_so(open_folder: Path, request: pytest.FixtureRequest) -> None:
    (open_folder / "part.png").chmod(0)
    request.getfixturevalue("plain_user")
    with pytest.raises(ImageError, match=r"part.png: permission denied; give this user access to it"):
        load_image(open_folder / "part.png")
