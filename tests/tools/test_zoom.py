"""Crops come from the full-resolution original, and a bad box is an error that names the limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.tools import BaseTool

from tools.album import Album, View
from tools.detectors import Pixels
from tools.evidence import Evidence, ToolError
from tools.image import Box, LoadedImage, load_image
from tools.zoom import enlarged, make_zoom


def loaded(pixels: Pixels) -> LoadedImage:
    return LoadedImage(path=Path("part.png"), pixels=pixels, notes=(), sha256="0" * 64, bits=8)


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(height * 7919 + width).integers(0, 255, (height, width, 3), np.uint8)


@pytest.fixture
def album(tmp_path: Path) -> Album:
    return Album(tmp_path, loaded(noise(300, 400)), [loaded(noise(200, 200))])


def look(zoom: BaseTool, image: str, box: list[float]) -> Evidence:
    call = {"name": "zoom", "args": {"image": image, "box": box}, "id": "1", "type": "tool_call"}
    artifact: Any = zoom.invoke(call).artifact
    assert isinstance(artifact, Evidence)
    return artifact


def test_a_crop_is_kept_saved_and_located_in_the_original(album: Album) -> None:
    found = look(make_zoom(album), "part", [250, 500, 500, 1000])
    assert found.regions[0].box == (250, 500, 500, 1000)
    assert album.view("crop_1").pixels().shape == (150, 100, 3)
    assert np.array_equal(album.view("crop_1").pixels(), album.part[150:300, 100:200])
    saved = load_image(album.folder / found.files[0])
    assert max(saved.height, saved.width) == 512


def test_a_crop_of_a_crop_is_the_same_region_of_the_original(album: Album) -> None:
    zoom = make_zoom(album)
    look(zoom, "part", [200, 200, 600, 600])
    inner = look(zoom, "crop_1", [500, 0, 1000, 500])
    assert inner.regions[0].box == pytest.approx((400, 200, 600, 400))
    assert np.array_equal(album.view("crop_2").pixels(), album.part[60:120, 160:240])


@pytest.mark.parametrize(
    "box", [[0, 0, 1001, 10], [-1, 0, 10, 10], [10, 10, 10, 20], [20, 10, 10, 20], [0, 0, float("nan"), 5]]
)
def test_a_bad_box_names_the_limits_and_is_never_clamped(album: Album, box: list[float]) -> None:
    with pytest.raises(ToolError, match=r"\[x0, y0, x1, y1\] in 0-1000 .* x0 < x1 and y0 < y1"):
        look(make_zoom(album), "part", box)
    assert "crop_1" not in album.views


def test_an_unknown_image_lists_the_known_ones(album: Album) -> None:
    for name in ("nobody", "../../etc/passwd", ""):
        with pytest.raises(ToolError, match="the images are: part, reference_1"):
            look(make_zoom(album), name, [0, 0, 9, 9])


def test_rows_11_to_13_crops_are_fit_for_a_vision_model() -> None:
    assert min(enlarged(View("part", loaded(noise(27, 332)))).shape[:2]) >= 28
    assert min(enlarged(View("part", loaded(noise(639, 31)))).shape[:2]) >= 28
    assert enlarged(View("part", loaded(noise(1, 1)))).shape[0] >= 28
    assert min(enlarged(View("part", loaded(noise(20, 4000)))).shape[:2]) >= 28
    with pytest.raises(ToolError, match="1:200"):
        enlarged(View("part", loaded(noise(5, 1093))))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 120),
    st.integers(1, 120),
    st.lists(st.integers(0, 1000), min_size=2, max_size=2, unique=True),
    st.lists(st.integers(0, 1000), min_size=2, max_size=2, unique=True),
)
def test_any_valid_box_gives_a_crop_within_the_limits(height: int, width: int, x: list[int], y: list[int]) -> None:
    box = Box(min(x), min(y), max(x), max(y))
    crop = enlarged(View("part", loaded(noise(height, width)), box))
    assert min(crop.shape[:2]) >= 28
    assert max(crop.shape[:2]) <= 200 * min(crop.shape[:2])


@pytest.mark.parametrize(("height", "width"), [(400, 100), (3000, 4000)])
def test_the_same_box_shows_the_same_part_of_pictures_of_any_shape(height: int, width: int) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[height // 4 : height // 2, width // 2 : width] = 200
    view = View("part", loaded(picture), Box(500, 250, 1000, 500))
    assert (view.pixels() == 200).all()
    assert view.pixels().shape[:2] == (height // 4, width // 2)
