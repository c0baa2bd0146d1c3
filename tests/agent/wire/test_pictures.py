"""Pictures are sent at sizes that the model's processor keeps, undistorted and readable on a canvas."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from agent.wire.boxes import Frame
from agent.wire.pictures import compose, encoded, fitted
from tools.pixels import Pixels

LEAST, MOST = 64 * 28 * 28, 1280 * 28 * 28
SIDES = st.integers(1, 30_000)
FACTORS = st.sampled_from([28, 32])
MOSTS = st.integers(LEAST + 20_000, MOST)


def flat(height: int, width: int, grey: int) -> Pixels:
    return np.full((height, width, 3), grey, np.uint8)


def crossed(height: int, width: int) -> Pixels:
    """White with a black frame, so that anything cut off shows."""
    pixels = flat(height, width, 255)
    edge = max(4, height // 20, width // 20)
    pixels[:edge] = pixels[-edge:] = 0
    pixels[:, :edge] = pixels[:, -edge:] = 0
    return pixels


@given(SIDES, SIDES, FACTORS, MOSTS)
def test_sizes_are_multiples_within_the_budget_for_any_picture(height: int, width: int, factor: int, most: int) -> None:
    high, wide = fitted(height, width, factor, LEAST, most)
    assert high % factor == wide % factor == 0
    assert LEAST <= high * wide <= most
    assert max(high, wide) <= 200 * min(high, wide)


@settings(deadline=None)
@given(SIDES, SIDES, FACTORS, MOSTS)
def test_the_models_own_processor_leaves_a_fitted_picture_as_it_is(
    height: int, width: int, factor: int, most: int
) -> None:
    smart_resize = pytest.importorskip("transformers.models.qwen2_vl.image_processing_qwen2_vl").smart_resize
    size = fitted(height, width, factor, LEAST, most)
    assert smart_resize(*size, factor, LEAST, most) == size


@settings(deadline=None)
@given(st.integers(1, 6000), st.integers(1, 6000), FACTORS)
def test_sizes_are_those_of_smart_resize(height: int, width: int, factor: int) -> None:
    smart_resize = pytest.importorskip("transformers.models.qwen2_vl.image_processing_qwen2_vl").smart_resize
    assume(max(height, width) < 100 * min(height, width))
    assert fitted(height, width, factor, LEAST, MOST) == smart_resize(height, width, factor, LEAST, MOST)


def test_a_hair_is_made_wide_enough_to_be_accepted() -> None:
    assert fitted(1, 4000, 28, LEAST, MOST) == (28, 4004)
    assert fitted(1, 1, 28, LEAST, MOST) == (224, 224)
    assert fitted(5, 28_000, 28, LEAST, MOST) == (56, 11_200)


def test_a_picture_becomes_the_same_full_colour_jpeg_each_time() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (56, 84, 3), np.uint8)
    url = encoded(pixels)
    assert url == encoded(pixels.copy())
    kind, data = url.split(",")
    assert kind == "data:image/jpeg;base64"
    opened = Image.open(io.BytesIO(base64.b64decode(data)))
    assert opened.size == (84, 56)
    assert {layer[1:3] for layer in opened.layer} == {(1, 1)}  # type: ignore[attr-defined]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3000), st.integers(1, 3000), FACTORS)
def test_a_canvas_fits_the_budget_and_keeps_the_aspect(height: int, width: int, factor: int) -> None:
    canvas, frames = compose([("part", flat(height, width, 255))], factor, MOST)
    frame = frames["part"]
    assert canvas.shape[0] % factor == canvas.shape[1] % factor == 0
    assert canvas.shape[0] * canvas.shape[1] <= MOST
    high, wide = frame.bottom - frame.top, frame.right - frame.left
    assert abs(high * width - wide * height) <= max(height, width) or min(high, wide) == 8
    assert min(high, wide) >= 8


def test_nothing_of_a_picture_is_cut_off() -> None:
    pictures = [
        (f"picture_{number}", crossed(*size))
        for number, size in enumerate([(90, 400), (400, 90), (9, 9), (2000, 2000)])
    ]
    canvas, frames = compose(pictures, 28, MOST)
    for frame in frames.values():
        tile = canvas[int(frame.top) : int(frame.bottom), int(frame.left) : int(frame.right)]
        assert tile[0].max() == tile[-1].max() == tile[:, 0].max() == tile[:, -1].max() == 0
        assert tile.max() > 240


def test_part_and_reference_stay_where_they_are_while_pictures_are_added() -> None:
    pictures = [(f"image_{number}", flat(50 + number, 70, 40 * number)) for number in range(4)]
    first, frames = compose(pictures[:2], 32, MOST)
    for count in (3, 4):
        canvas, more = compose(pictures[:count], 32, MOST)
        assert canvas.shape == first.shape
        assert np.array_equal(canvas[: len(canvas) // 2], first[: len(first) // 2])
        assert {name: more[name] for name in frames} == frames
    assert (first[len(first) // 2 :] == 128).all()


def test_frames_say_where_each_picture_lies() -> None:
    # coloured, as letters are grey
    pictures = [(f"image_{number}", flat(50, 70, 200 + number) * np.array([1, 0, 0], np.uint8)) for number in range(4)]
    canvas, frames = compose(pictures, 28, MOST)
    for name, pixels in pictures:
        frame = frames[name]
        shown = np.nonzero((canvas == pixels[0, 0]).all(axis=2))
        assert Frame(shown[1].min(), shown[0].min(), shown[1].max() + 1, shown[0].max() + 1, *canvas.shape[:2]) == frame


@pytest.mark.parametrize("name", ["part", "reference_12", "compare_with_reference-0123456789.jpg of part and crop_12"])
def test_a_label_is_readable_and_whole(name: str) -> None:
    canvas, _ = compose([("part", flat(9, 9, 0)), (name, flat(9, 9, 0))], 28, MOST)
    strip = canvas[:28, canvas.shape[1] // 2 :, 0]
    columns = np.nonzero((strip > 128).any(axis=0))[0]
    assert columns.min() >= 2
    assert columns.max() < strip.shape[1] - 2
    assert np.ptp(np.nonzero((strip > 128).any(axis=1))[0]) >= 8


def test_a_fifth_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="5 pictures"):
        compose([(str(number), flat(9, 9, 0)) for number in range(5)], 28, MOST)
