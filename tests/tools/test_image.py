"""Boxes and the loader on pictures made here: depth, turns, damage, names, lists and writing."""

from __future__ import annotations

import hashlib
import io
import os
import re
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from tools.image import Box, ImageError, list_images, load_image, load_images, save_image, short_name

REPOSITORY = Path(__file__).parents[2]
GREYS = array_shapes(min_dims=2, max_dims=2, max_side=24)
COLOURS = st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3))
STORED_BY_ORIENTATION: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.swapaxes(0, 1),
    6: np.rot90,
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


def encoded(pixels: NDArray[Any], kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def load_bytes(folder: Path, data: bytes, **options: int) -> NDArray[np.uint8]:
    path = folder / "picture"
    path.write_bytes(data)
    return load_image(path, **options).pixels


def load_if_whole(folder: Path, data: bytes) -> NDArray[np.uint8] | None:
    try:
        return load_bytes(folder, data)
    except ImageError:
        return None


def photo(height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Smooth colours with some texture, nothing mid-grey at the last pixel."""
    y, x = np.mgrid[:height, :width]
    texture = np.random.default_rng(0).integers(0, 20, (height, width))
    return np.stack([x * 3 + texture, y * 4 + texture, 200 - x - y + texture], axis=2).astype(np.uint8)


def with_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return png[:33] + chunk + png[33:]


# Boxes


@given(st.data(), st.integers(1, 5000), st.integers(1, 5000))
def test_box_comes_back_to_the_same_pixels(data: st.DataObject, height: int, width: int) -> None:
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    box = Box.from_pixels(x0, y0, x1, y1, height=height, width=width)
    assert box.pixels(height=height, width=width) == (x0, y0, x1, y1)


# Depth


@given(pixels=arrays(np.uint8, st.one_of(GREYS, COLOURS)), kind=st.sampled_from(["PNG", "TIFF", "BMP", "WebP"]))
@settings(max_examples=60, deadline=None)
def test_eight_bits_arrive_unchanged(folder: Path, pixels: NDArray[np.uint8], kind: str) -> None:
    loaded = load_bytes(folder, encoded(pixels, kind, **({"lossless": True} if kind == "WebP" else {})))
    assert (loaded == (pixels if pixels.ndim == 3 else pixels[..., None])).all()


@given(pixels=arrays(np.uint16, GREYS), kind=st.sampled_from(["PNG", "TIFF"]))
@example(pixels=np.full((2, 2), 4095, np.uint16), kind="PNG")
@example(pixels=np.full((2, 2), 4096, np.uint16), kind="PNG")
@settings(max_examples=60, deadline=None)
def test_deep_grey_is_scaled_from_12_or_16_bits(folder: Path, pixels: NDArray[np.uint16], kind: str) -> None:
    bits = 12 if pixels.max() < 4096 else 16
    assert (load_bytes(folder, encoded(pixels, kind)) == (pixels >> (bits - 8))[..., None]).all()
    assert (load_bytes(folder, encoded(pixels, kind), bits=16) == (pixels >> 8)[..., None]).all()


@given(pixels=arrays(np.uint16, COLOURS), twelve=st.booleans(), suffix=st.sampled_from([".png", ".tif"]))
@settings(max_examples=60, deadline=None)
def test_deep_colour_is_scaled_from_12_or_16_bits(
    folder: Path, pixels: NDArray[np.uint16], twelve: bool, suffix: str
) -> None:
    pixels //= 16 if twelve else 1
    bits = 12 if pixels.max() < 4096 else 16
    data = cv2.imencode(suffix, pixels[..., ::-1])[1].tobytes()
    assert (load_bytes(folder, data) == pixels >> (bits - 8)).all()


@given(
    pixels=arrays(np.float32, GREYS, elements=st.floats(0, 1, width=32)),
    scale=st.sampled_from([1, 255, 4095, 65535]),
)
@settings(max_examples=60, deadline=None)
def test_floats_are_scaled_from_their_customary_range(folder: Path, pixels: NDArray[np.float32], scale: int) -> None:
    pixels.flat[0] = 1
    loaded = load_bytes(folder, encoded(pixels * scale, "TIFF"))
    assert np.abs(loaded - pixels[..., None] * 255.0).max() <= 0.51


@given(pixels=arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.sampled_from([2, 4]))))
@settings(max_examples=60, deadline=None)
def test_alpha_is_mixed_with_white(folder: Path, pixels: NDArray[np.uint8]) -> None:
    loaded = load_bytes(folder, encoded(pixels, "PNG"))
    alpha = pixels[..., -1:] / 255
    assert np.abs(loaded - (pixels[..., :-1] * alpha + 255 * (1 - alpha))).max() <= 1


def test_opaque_alpha_is_no_news(tmp_path: Path) -> None:
    pixels = np.dstack([photo(), np.full((48, 64), 255, np.uint8)])
    (tmp_path / "opaque.png").write_bytes(encoded(pixels, "PNG"))
    assert load_image(tmp_path / "opaque.png").notes == ()


def test_declared_range_counts_before_the_values(tmp_path: Path) -> None:
    dark = np.full((4, 4), 1000, np.uint16)
    assert load_bytes(tmp_path, with_chunk(encoded(dark, "PNG"), b"sBIT", b"\x0e"))[0, 0, 0] == 1000 >> 6
    assert load_bytes(tmp_path, encoded(dark, "TIFF", tiffinfo={281: 16383}))[0, 0, 0] == 1000 >> 6
    assert load_bytes(tmp_path, encoded(dark, "TIFF", tiffinfo={281: 1000}))[0, 0, 0] == 1000 >> 4
    assert load_bytes(tmp_path, with_chunk(encoded(dark * 60, "PNG"), b"sBIT", b"\x0c"))[0, 0, 0] == 60000 >> 8


def test_white_stored_as_zero_is_inverted(tmp_path: Path) -> None:
    pixels = np.array([[0, 65535]], np.uint16)
    assert load_bytes(tmp_path, encoded(pixels, "TIFF", tiffinfo={262: 0}))[0, :, 0].tolist() == [255, 0]


def test_depth_asked_for_must_hold_the_values(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="values up to 5000 do not fit the 12 bits asked for; ask for more bits"):
        load_bytes(tmp_path, encoded(np.full((4, 4), 5000, np.uint16), "PNG"), bits=12)


@pytest.mark.parametrize(
    ("values", "cause"),
    [([[-1.0, 0.5]], "1 of 2 values are negative"), ([[1e6, 0.5]], "1 of 2 values are above 65535")],
)
def test_floats_without_a_scale_are_refused(tmp_path: Path, values: list[list[float]], cause: str) -> None:
    with pytest.raises(ImageError, match=cause):
        load_bytes(tmp_path, encoded(np.array(values, np.float32), "TIFF"))


def test_variants_without_a_right_answer_are_refused(tmp_path: Path) -> None:
    deep_alpha = cv2.imencode(".png", np.full((4, 4, 4), 4000, np.uint16))[1].tobytes()
    with pytest.raises(ImageError, match="colour below 16 bits with alpha, pages or a turn"):
        load_bytes(tmp_path, deep_alpha)
    with pytest.raises(ImageError, match="a transparent colour in a 16-bit picture"):
        load_bytes(tmp_path, with_chunk(encoded(np.ones((4, 4), np.uint16), "PNG"), b"tRNS", b"\0\1"))
    Image.new("LAB", (4, 4)).save(tmp_path / "lab.tif")
    with pytest.raises(ImageError, match="colour mode LAB, expected grey or RGB"):
        load_image(tmp_path / "lab.tif")


def test_a_set_is_brought_to_the_deepest_scale(tmp_path: Path) -> None:
    values = {"reference.png": np.uint16(40000), "dark.png": np.uint16(4000), "eight.png": np.uint8(200)}
    paths = [tmp_path / name for name in values]
    for path, value in zip(paths, values.values(), strict=True):
        path.write_bytes(encoded(np.full((4, 4), value), "PNG"))
    images = load_images(paths)
    assert [(i.bits, int(i.pixels[0, 0, 0])) for i in images] == [(16, 156), (16, 15), (8, 200)]
    assert images[1].notes == (
        "16-bit grey scaled to 8 bits",
        "at 16 bits like the deepest picture of its set",
    )
    assert images[2].notes == ()
    assert load_image(paths[1]).pixels[0, 0, 0] == 250


# Turns and frames


@pytest.mark.parametrize("orientation", STORED_BY_ORIENTATION)
@pytest.mark.parametrize(
    "options", [{"format": "PNG"}, {"format": "TIFF"}, {"format": "TIFF", "compression": "tiff_lzw"}]
)
def test_every_orientation_comes_out_upright(tmp_path: Path, orientation: int, options: dict[str, str]) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    stored = np.ascontiguousarray(STORED_BY_ORIENTATION[orientation](photo()))
    path = tmp_path / "turned"
    Image.fromarray(stored).save(path, exif=exif, **options)
    image = load_image(path)
    assert (image.pixels == photo()).all()
    assert len(image.notes) == (orientation != 1)


def test_named_frame_is_the_one_loaded(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    pages = [Image.new("RGB", (4, 3), (shade, 0, 0)) for shade in (10, 20, 30)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    image = load_image(path, frame=2)
    assert (image.pixels[0, 0, 0], image.notes) == (30, ("frame 3 of 3",))
    with pytest.raises(ImageError, match="no frame 3, it holds 3; choose a frame from 0 to 2"):
        load_image(path, frame=3)


# Damage


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WebP"])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_cut_file_is_never_another_picture(folder: Path, kind: str, data: st.DataObject) -> None:
    whole = encoded(photo(), kind)
    expected = load_bytes(folder, whole)
    length = data.draw(st.integers(0, len(whole) - 1))
    loaded = load_if_whole(folder, whole[:length])
    assert loaded is None or (loaded == expected).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WebP"])
@given(damage=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_damaged_file_loads_or_is_refused(folder: Path, kind: str, damage: list[tuple[float, int]]) -> None:
    data = bytearray(encoded(photo(), kind))
    for place, value in damage:
        data[int(place * len(data))] = value
    loaded = load_if_whole(folder, bytes(data))
    assert loaded is None or loaded.shape[2] == 3


@pytest.mark.parametrize("cut", [0.4, 0.7, 0.95])
def test_cut_jpeg_with_an_end_mark_is_refused(tmp_path: Path, cut: float) -> None:
    whole = encoded(photo(200, 300), "JPEG")
    with pytest.raises(ImageError, match="incomplete file, it ends before its last row"):
        load_bytes(tmp_path, whole[: int(len(whole) * cut)] + b"\xff\xd9")


def test_grey_jpeg_is_not_taken_for_a_cut_one(tmp_path: Path) -> None:
    pixels = photo()
    pixels[24:] = 128
    assert (load_bytes(tmp_path, encoded(pixels, "JPEG"))[-8:] == 128).all()
    assert (load_bytes(tmp_path, encoded(np.full((9, 9), 128, np.uint8), "JPEG") + b"trailer") == 128).all()


def test_limit_of_pixels_is_checked_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(encoded(photo(), "PNG"))
    assert load_image(path, max_pixels=48 * 64).width == 64
    with pytest.raises(ImageError, match=re.escape("64 x 48 pixels, the limit is 0.003071 megapixels")):
        load_image(path, max_pixels=48 * 64 - 1)


def test_threads_load_in_parallel(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(16)]
    for number, path in enumerate(paths):
        save_image(path, np.roll(photo(), number, axis=1))
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(load_image, paths))
    assert all((image.pixels == np.roll(photo(), n, axis=1)).all() for n, image in enumerate(images))


# Names, lists, writing


def test_loaded_picture_cannot_be_changed_and_knows_its_file(tmp_path: Path) -> None:
    path = tmp_path / "part.png"
    save_image(path, photo())
    image = load_image(str(path))
    assert (image.path, image.height, image.width, image.bits) == (path, 48, 64, 8)
    assert image.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0] = 0


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\nb\x1b[2J.png", r"a\nb\x1b[2J.png"), ("\u202egnp.exe", r"\u202egnp.exe"), ("n\0l", r"n\x00l")],
)
def test_strange_names_are_escaped_in_one_line(tmp_path: Path, name: str, shown: str) -> None:
    with pytest.raises(ImageError) as caught:
        load_image(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path}{os.sep}{shown}: ")


def test_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="a pipe or device, not a file"):
        load_image(tmp_path / "pipe.png")


def test_listing_goes_down_only_when_asked(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", "sub/c.tif", ".cache/d.png", "sub/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list_images(tmp_path) == ([tmp_path / "a.jpeg", tmp_path / "b.PNG"], [])
    pictures, skipped = list_images(tmp_path, recursive=True)
    assert pictures == [tmp_path / "a.jpeg", tmp_path / "b.PNG", tmp_path / "sub/c.tif"]
    assert skipped == [tmp_path / "sub/notes.txt"]
    with pytest.raises(ImageError, match="gone: no such file or folder"):
        list_images(tmp_path / "gone")


@pytest.mark.parametrize(("suffix", "apart"), [(".png", 0), (".PNG", 0), (".jpg", 8), (".jpeg", 8)])
def test_saved_picture_loads_again(tmp_path: Path, suffix: str, apart: int) -> None:
    path = tmp_path / f"map{suffix}"
    path.write_bytes(b"old")
    save_image(path, photo())
    assert np.abs(load_image(path).pixels.astype(int) - photo()).mean() <= apart
    assert list(tmp_path.iterdir()) == [path]


def test_failed_save_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot save as \.gif; use \.png or \.jpg"):
        save_image(tmp_path / "map.gif", photo())
    with pytest.raises(ImageError, match="name too long; shorten it"):
        save_image(tmp_path / f"{'x' * 300}.png", photo())
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(ImageError, match="a folder, not a picture"):
        save_image(tmp_path / "taken.png", photo())
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]


@given(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1),
    st.integers(24, 255),
)
@example("缺" * 80 + ".png", 100)
@example("a." + "b" * 300, 100)
def test_short_name_fits_and_is_stable(name: str, limit: int) -> None:
    short = short_name(name, limit)
    assert len(short.encode()) <= limit
    assert short_name(short, limit) == short
    assert short == name or len(name.encode()) > limit


def test_short_names_stay_apart_and_keep_their_suffix() -> None:
    first, second = short_name("x" * 250 + "1.png"), short_name("x" * 250 + "2.png")
    assert first != second
    assert first.endswith(".png")


# The whole repository


def test_no_source_file_reads_pictures_around_the_loader() -> None:
    forbidden = re.compile(r"cv2\.imread|LOAD_TRUNCATED_IMAGES|MAX_IMAGE_PIXELS")
    sources = [
        path for room in ("agent", "tools", "knowledge_base", "evals") for path in (REPOSITORY / room).rglob("*.py")
    ]
    assert sources
    assert [path for path in sources if forbidden.search(path.read_text("utf-8"))] == []
