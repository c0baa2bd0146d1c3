"""A map that was given: its places are the marks, whatever the picture, and its words are not the normal range's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from evals.example_parts import draw_part
from tools.album import Album
from tools.anomaly_map import make_anomaly_map, regions
from tools.detectors import Detector, Pixels
from tools.detectors.given import GivenMap, Marks
from tools.evidence import Notation
from tools.image import load_image, save_image

PICTURE = np.full((300, 400, 3), 90, np.uint8)


def marks(*boxes: tuple[int, int, int, int], height: int = 30, width: int = 40) -> Marks:
    found = np.zeros((height, width), np.bool_)
    for x0, y0, x1, y1 in boxes:
        found[y0:y1, x0:x1] = True
    return found


def told(folder: Path, given: Detector, notation: Notation = "heatmap", pixels: Pixels = PICTURE) -> tuple[str, Any]:
    save_image(folder / "part.png", pixels)
    album = Album(folder, load_image(folder / "part.png"))
    call = {"name": "anomaly_map", "args": {}, "id": "1", "type": "tool_call"}
    message = make_anomaly_map(album, lambda: given, notation).invoke(call)
    return message.content, message.artifact


def test_marks_are_stretched_by_the_nearest_and_the_deepest_comes_first() -> None:
    found = GivenMap(marks((2, 3, 4, 30), (10, 10, 20, 20)), "x").score(PICTURE)
    assert found.scores.shape == (300, 400)
    assert np.array_equal(found.scores > 1, np.kron(marks((2, 3, 4, 30), (10, 10, 20, 20)), np.ones((10, 10))) > 0)
    assert [region.box for region in regions(found)] == [(250, 333.3, 500, 666.7), (50, 100, 100, 1000)]


@pytest.mark.parametrize("boxes", [[(0, 0, 1, 1)], [(0, 0, 40, 30)], [(3, 0, 4, 30), (9, 9, 30, 20)]])
def test_the_score_of_a_picture_is_the_same_for_every_mark(boxes: list[tuple[int, int, int, int]]) -> None:
    found = GivenMap(marks(*boxes), "x").score(PICTURE)
    assert found.image_score == 3.0
    assert found.above_normal
    assert round(found.probability, 4) == 0.5


def test_a_mark_thinner_than_a_pixel_is_not_lost() -> None:
    thin = marks((333, 0, 334, 1000), height=1000, width=1000)
    found = GivenMap(thin, "x").score(PICTURE[:7, :9])
    assert found.above_normal
    assert regions(found)


def test_without_a_mark_the_map_is_empty_and_as_neutral() -> None:
    found = GivenMap(np.zeros((1, 1), np.bool_), "x").score(PICTURE)
    assert not found.above_normal
    assert regions(found) == []
    assert round(found.probability, 4) == 0.5


def test_a_certain_map_tells() -> None:
    assert GivenMap(marks((1, 1, 9, 9)), "x", 6.0).score(PICTURE).probability > 0.99
    assert GivenMap(marks(), "x", 6.0).score(PICTURE).probability < 0.1


@pytest.mark.parametrize("notation", get_args(Notation))
def test_in_every_notation_its_own_words_are_told_and_the_marks_drawn(tmp_path: Path, notation: Notation) -> None:
    text, artifact = told(tmp_path, GivenMap(marks((10, 10, 20, 20)), "Somebody marked it."), notation)
    assert "1 marked place: box [250, 333, 500, 667], 8.33 % of the picture. Somebody marked it." in text
    assert "normal" not in text
    assert "limit" not in text
    drawn = load_image(tmp_path / artifact.files[0]).pixels.astype(int)
    assert np.abs(drawn - PICTURE).max() > 20


def test_a_mark_over_the_whole_part_is_no_unfit_reference(tmp_path: Path) -> None:
    _, artifact = told(tmp_path, GivenMap(marks((0, 0, 40, 30)), "x"), pixels=draw_part("bracket", size=256).pixels)
    assert "refused" not in artifact.numbers
    assert artifact.regions
