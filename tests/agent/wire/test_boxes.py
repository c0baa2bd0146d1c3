"""Boxes survive the way to a model's scale and back, on pictures of any size; what is not inside is an error."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire.boxes import BoxError, Frame, from_model, to_model
from agent.wire.dialect import Scale
from agent.wire.pictures import compose, fitted
from tools.album import View
from tools.image import LoadedImage

SCALES = get_args(Scale)
WHOLE = Frame.whole(560, 840)
ON_CANVAS = Frame(490, 60, 890, 260, 980, 980)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    height, width = draw(st.integers(28, 6000)), draw(st.integers(28, 6000))
    if draw(st.booleans()):
        return Frame.whole(height, width)
    left, top = draw(st.integers(0, width - 16)), draw(st.integers(0, height - 16))
    return Frame(left, top, draw(st.integers(left + 16, width)), draw(st.integers(top + 16, height)), height, width)


def unit(frame: Frame, scale: Scale) -> tuple[float, float]:
    """Thousandths of the framed image, across and down, in one unit of the scale."""
    across, down = (1, 1) if scale == "pixels" else (frame.width / 1000, frame.height / 1000)
    return across * 1000 / (frame.right - frame.left), down * 1000 / (frame.bottom - frame.top)


def span(draw: st.DrawFn, least: float) -> tuple[float, float]:
    low = draw(st.floats(0, 1000 - least))
    return low, draw(st.floats(low + least, 1000))


@given(st.data(), frames(), st.sampled_from(SCALES))
def test_a_box_comes_back_within_one_unit_of_the_scale(data: st.DataObject, frame: Frame, scale: Scale) -> None:
    across, down = unit(frame, scale)
    (x0, x1), (y0, y1) = (data.draw(st.composite(span)(min(step, 500))) for step in (across, down))
    back = from_model(to_model((x0, y0, x1, y1), frame, scale), frame, scale, "part")
    for before, after, step in zip((x0, y0, x1, y1), back, (across, down) * 2, strict=True):
        assert abs(before - after) <= step + 0.05 + 1e-6


@given(frames(), st.sampled_from(SCALES), st.floats(0, 999.99), st.floats(0, 999.99))
def test_the_smallest_box_anywhere_can_be_written_and_read(frame: Frame, scale: Scale, x: float, y: float) -> None:
    written = to_model((x, y, x + 0.01, y + 0.01), frame, scale)
    across, down = unit(frame, scale)
    back = from_model(written, frame, scale, "part")
    assert back.x0 < back.x1
    assert back.y0 < back.y1
    assert abs(back.x0 - x) <= 2 * across + 0.05
    assert abs(back.y0 - y) <= 2 * down + 0.05


@pytest.mark.parametrize(
    ("scale", "expected"),
    [("pixels", [84, 140, 420, 560]), ("thousand", [100, 250, 500, 1000]), ("unit", [0.1, 0.25, 0.5, 1.0])],
)
def test_each_scale_is_written_as_its_model_does(scale: Scale, expected: list[float]) -> None:
    written = to_model((100, 250, 500, 1000), WHOLE, scale)
    assert written == expected
    assert all(isinstance(value, float if scale == "unit" else int) for value in written)
    assert from_model(expected, WHOLE, scale, "part") == (100, 250, 500, 1000)


@pytest.mark.parametrize("scale", SCALES)
def test_values_that_are_all_0_to_1_are_fractions_in_every_scale(scale: Scale) -> None:
    assert from_model([0, 0, 1, 1], WHOLE, scale, "part") == (0, 0, 1000, 1000)
    assert from_model([0.1, 0.25, 0.5, 0.75], WHOLE, scale, "part") == (100, 250, 500, 750)


@pytest.mark.parametrize("scale", ["pixels", "thousand"])
def test_a_box_in_the_very_corner_is_not_taken_for_the_whole(scale: Scale) -> None:
    back = from_model(to_model((0, 0, 0.8, 0.8), WHOLE, scale), WHOLE, scale, "part")
    assert max(back) < 4


@pytest.mark.parametrize("scale", SCALES)
@given(quarters=st.tuples(*[st.integers(0, 3)] * 4), sent=st.sampled_from([28, 32]))
def test_the_same_region_of_a_small_and_a_large_picture_crops_the_same_pixels(
    quarters: tuple[int, int, int, int], sent: int, scale: Scale
) -> None:
    x0, y0 = quarters[0] / 4, quarters[1] / 4
    x1, y1 = max(quarters[2] / 4, x0) + 0.25, max(quarters[3] / 4, y0) + 0.25
    for height, width in ((400, 100), (100, 400), (3000, 4000)):
        frame = Frame.whole(*fitted(height, width, sent, 64 * 784, 1280 * 784))
        across, down = {"pixels": (frame.width, frame.height), "thousand": (1000, 1000), "unit": (1, 1)}[scale]
        said = [x0 * across, y0 * down, x1 * across, y1 * down]
        marked = np.zeros((height, width, 3), np.uint8)
        rows, columns = slice(int(y0 * height), int(y1 * height)), slice(int(x0 * width), int(x1 * width))
        marked[rows, columns] = 200
        original = LoadedImage(Path("part.png"), marked, (), "0" * 64, 8)
        crop = View("part", original, from_model(said, frame, scale, "part")).pixels()
        assert crop.shape == marked[rows, columns].shape
        assert (crop == 200).all()


@pytest.mark.parametrize(
    ("scale", "box", "said"),
    [
        ("pixels", [0, 0, 900, 560], "x 0 to 840 and y 0 to 560 in pixels"),
        ("pixels", [-3, 0, 9, 560], "x 0 to 840 and y 0 to 560 in pixels"),
        ("thousand", [0, 0, 500, 1002], "x 0 to 1000 and y 0 to 1000 in thousandths"),
        ("unit", [0, 0, 500, 900], "x 0.000 to 1.000 and y 0.000 to 1.000 in fractions"),
    ],
)
def test_out_of_range_is_an_error_in_the_models_own_units(scale: Scale, box: list[float], said: str) -> None:
    with pytest.raises(BoxError) as error:
        from_model(box, WHOLE, scale, "part")
    assert said in str(error.value)
    assert str(box) in str(error.value)


@pytest.mark.parametrize("scale", SCALES)
def test_a_pixel_or_a_thousandth_over_the_edge_is_cut_off(scale: Scale) -> None:
    over = {"pixels": [-1, 0, 841, 561], "thousand": [-1, 0, 1001, 1001], "unit": [-0.001, 0, 1.001, 1.001]}[scale]
    assert from_model(over, WHOLE, scale, "part") == (0, 0, 1000, 1000)


@pytest.mark.parametrize(
    "box",
    [
        [10, 10, 10, 20],
        [20, 10, 10, 20],
        [0, 0, math.nan, 5],
        [0, 0, math.inf, 5],
        [0, 0, 10**400, 5],
        [0, 0, 5],
        [0, 0, 5, 5, 5],
        [0, 0, "5", 5],
        [False, False, True, True],
        "0 0 5 5",
        {"x": 1},
        None,
        7,
        [100.001, 10, 100.002, 20],
    ],
)
def test_what_is_no_box_is_an_error_that_shows_the_form(box: Any) -> None:
    with pytest.raises(BoxError, match=r"image 'crop_1'.*four numbers \[x0, y0, x1, y1\] with x0 < x1 and y0 < y1"):
        from_model(box, WHOLE, "pixels", "crop_1")


@pytest.mark.parametrize("scale", SCALES)
def test_a_box_on_a_canvas_is_of_the_named_image(scale: Scale) -> None:
    across, down = {"pixels": (1, 1), "thousand": (0.98, 0.98), "unit": (980, 980)}[scale]
    said = [590 / across, 110 / down, 690 / across, 210 / down]
    assert from_model(said, ON_CANVAS, scale, "crop_1") == (250, 250, 500, 750)


def test_a_box_on_another_tile_names_where_the_image_is() -> None:
    with pytest.raises(BoxError, match="'crop_1', which lies on the canvas at x 490 to 890 and y 60 to 260 in pixels"):
        from_model([100, 100, 200, 200], ON_CANVAS, "pixels", "crop_1")


@pytest.mark.parametrize("scale", SCALES)
def test_a_mark_seen_on_a_canvas_is_cropped_from_its_own_image(scale: Scale) -> None:
    marked = np.full((300, 600, 3), 90, np.uint8)
    marked[60:120, 150:300] = 250
    canvas, frames = compose([("part", np.zeros((50, 50, 3), np.uint8)), ("crop_1", marked)], 28, 1280 * 784)
    frame = frames["crop_1"]
    rows, columns = np.nonzero((canvas[40:, :, 0] > 240) & (np.arange(canvas.shape[1]) > frame.left))
    seen = [columns.min(), rows.min() + 40, columns.max() + 1, rows.max() + 41]
    sides = np.array({"pixels": (1, 1), "thousand": (0.98, 0.98), "unit": (980, 980)}[scale] * 2)
    found = from_model([float(value) for value in seen / sides], frame, scale, "crop_1")
    assert found.pixels(height=300, width=600) == pytest.approx((150, 60, 300, 120), abs=1)
