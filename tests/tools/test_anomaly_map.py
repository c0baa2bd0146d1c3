"""What the planner is told: regions with numbers, or plainly nothing; and what is measured of a mark."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from evals.example_parts import draw_part
from tools.album import Album
from tools.anomaly_map import MOST_REGIONS, make_anomaly_map, regions
from tools.detectors import AnomalyMap, Calibration, Detector, Floats
from tools.detectors.features import OnnxBackbone
from tools.detectors.few_shot import FewShotMethod
from tools.detectors.self_similarity import SelfSimilarity
from tools.drawing import heat_overlay
from tools.evidence import Evidence
from tools.foreground import part_mask
from tools.image import Box, load_image, save_image
from tools.mark import measure

RANGE = Calibration(limit=10, spread=0.4, freedom=12, certainty=3, method="four references", normals=4)


def mapped(scores: Floats) -> AnomalyMap:
    return AnomalyMap(scores, float(scores.max()), "test", RANGE)


def test_a_map_below_the_limit_has_no_region_however_it_is_shaped() -> None:
    scores = np.full((40, 60), 3, np.float32)
    scores[10, 10] = 9.99
    assert regions(mapped(scores)) == []


def test_regions_come_strongest_first_with_their_share_of_the_picture() -> None:
    scores = np.zeros((100, 200), np.float32)
    scores[10:20, 20:40], scores[60:70, 100:110] = 12, 15
    first, second = regions(mapped(scores))
    assert first.box == (500, 600, 550, 700)
    assert (first.score, second.score) == (1.5, 1.2)
    assert second.numbers["area_percent"] == 1.0


def test_a_crowd_of_regions_is_cut_and_a_single_speck_is_still_shown() -> None:
    crowd = np.zeros((300, 300), np.float32)
    crowd[::20, ::20] = 11
    assert 1 <= len(regions(mapped(crowd))) <= MOST_REGIONS
    speck = np.zeros((300, 300), np.float32)
    speck[5, 5] = 11
    assert len(regions(mapped(speck))) == 1


def test_nothing_is_coloured_below_the_limit() -> None:
    grey = np.full((50, 50, 3), 90, np.uint8)
    scores = np.linspace(0, 10, 2500, dtype=np.float32).reshape(50, 50)
    assert np.array_equal(heat_overlay(grey, mapped(scores), []), grey)
    scores[20:30, 20:30] = 14
    drawn = heat_overlay(grey, mapped(scores), regions(mapped(scores)))
    assert (drawn[25, 25] != grey[25, 25]).any()
    assert (drawn[45, 5] == grey[45, 5]).all()


@pytest.fixture(scope="module")
def detector() -> Detector:
    return FewShotMethod(OnnxBackbone()).fit([draw_part("bracket", seed=seed, size=256).pixels for seed in range(4)])


def evidence(folder: Path, pixels: np.ndarray, detector: Detector) -> Evidence:
    save_image(folder / "part.png", pixels)
    album = Album(folder, load_image(folder / "part.png"))
    call = {"name": "anomaly_map", "args": {}, "id": "1", "type": "tool_call"}
    found = make_anomaly_map(album, lambda: detector).invoke(call).artifact
    assert isinstance(found, Evidence)
    return found


def test_a_good_part_is_told_as_nothing_above_the_normal_range(tmp_path: Path, detector: Detector) -> None:
    found = evidence(tmp_path, draw_part("bracket", seed=8, size=256).pixels, detector)
    assert found.finding.startswith("Nothing above the normal range")
    assert (found.above_normal, found.regions) == (False, [])


def test_a_stain_is_told_with_its_box_in_units_of_the_limit(tmp_path: Path, detector: Detector) -> None:
    drawn = draw_part("bracket", "stain", seed=8, size=256)
    found = evidence(tmp_path, drawn.pixels, detector)
    assert found.above_normal
    x0, y0, x1, y1 = found.regions[0].box.pixels(height=256, width=256)
    assert drawn.mask[y0:y1, x0:x1].any()
    assert "times the limit" in found.finding
    assert (tmp_path / found.files[0]).exists()


def test_row_33_another_product_is_not_comparable_and_no_defect(tmp_path: Path, detector: Detector) -> None:
    found = evidence(tmp_path, draw_part("board", seed=1, size=256).pixels, detector)
    assert found.above_normal is None
    assert "not comparable" in found.finding
    assert "probability" not in found.numbers


def test_without_a_reference_the_finding_says_weaker_evidence(tmp_path: Path) -> None:
    found = evidence(tmp_path, draw_part("bracket", seed=8, size=256).pixels, SelfSimilarity(OnnxBackbone()))
    assert "Weaker evidence" in found.finding


def test_a_painted_line_is_measured_in_pixels_with_its_tone() -> None:
    plate = np.full((200, 300, 3), 150, np.uint8)
    cv2.line(plate, (80, 100), (160, 100), (20, 20, 20), 4)
    found = measure(plate, Box.from_pixels(70, 85, 170, 115, height=200, width=300))
    assert float(found["length_px"]) == pytest.approx(85, abs=8)
    assert float(found["width_px"]) == pytest.approx(5, abs=3)
    assert float(found["brightness_change"]) < -80
    assert found["looks"] == "dark thin elongated line"


@pytest.mark.parametrize(("colour", "word"), [((200, 90, 90), "reddish"), ((90, 90, 200), "bluish")])
def test_a_tint_is_named(colour: tuple[int, int, int], word: str) -> None:
    plate = np.full((200, 200, 3), 120, np.uint8)
    cv2.circle(plate, (100, 100), 15, colour, -1)
    assert word in str(measure(plate, Box(350, 350, 650, 650))["looks"])


def test_an_even_place_is_called_so() -> None:
    plate = np.full((200, 200, 3), 120, np.uint8)
    assert str(measure(plate, Box(350, 350, 650, 650))["described"]).startswith("no mark")
    assert str(measure(plate, Box(0, 0, 1000, 1000))["described"]).startswith("no mark")


def test_a_mark_beside_the_part_is_said_to_be_beside_it() -> None:
    picture = np.full((200, 200, 3), 240, np.uint8)
    picture[60:140, 60:140] = (40, 90, 60)
    picture[10:16, 10:16] = 0
    assert part_mask(picture)[100, 100]
    assert not part_mask(picture)[13, 13]
    assert "beside the part" in str(measure(picture, Box(30, 30, 100, 100))["described"])


def test_a_texture_is_part_everywhere() -> None:
    assert part_mask(np.random.default_rng(0).integers(0, 255, (80, 90, 3), np.uint8)).all()
