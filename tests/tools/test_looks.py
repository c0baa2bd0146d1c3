"""The tools that look closer: enhance, measure, find_similar_normals, and the ways to draw a map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from langchain_core.tools import BaseTool

from evals.example_parts import draw_part
from tools.album import Album
from tools.anomaly_map import make_anomaly_map, regions
from tools.detectors import AnomalyMap, Calibration, Pixels
from tools.detectors.features import OnnxBackbone
from tools.detectors.few_shot import FewShotMethod
from tools.enhance import SHOWS, make_enhance
from tools.evidence import Evidence, Notation, ToolError
from tools.image import load_image, save_image
from tools.measure import make_measure
from tools.notation import CAVEATS, drawn
from tools.similar import make_find_similar_normals
from tools.zoom import make_zoom


def album_of(folder: Path, part: Pixels, *references: Pixels) -> Album:
    loaded = []
    for number, pixels in enumerate((part, *references)):
        save_image(folder / f"{number}.png", pixels)
        loaded.append(load_image(folder / f"{number}.png"))
    return Album(folder, loaded[0], loaded[1:])


def called(tool: BaseTool, **arguments: Any) -> Evidence:
    found: Any = tool.invoke({"name": tool.name, "args": arguments, "id": "1", "type": "tool_call"})
    assert isinstance(found.artifact, Evidence)
    return found.artifact


def plate(height: int = 200, width: int = 300) -> Pixels:
    return np.full((height, width, 3), 150, np.uint8)


@pytest.mark.parametrize("degrees", [0, 30, 90, 135])
def test_a_line_is_measured_in_pixels_degrees_and_millimetres(tmp_path: Path, degrees: float) -> None:
    picture, (x, y) = plate(), (150, 100)
    across, up = 40 * np.cos(np.radians(degrees)), 40 * np.sin(np.radians(degrees))
    ends = [(round(x - across), round(y + up)), (round(x + across), round(y - up))]
    cv2.line(picture, *ends, (20, 20, 20), 4)
    found = called(make_measure(album_of(tmp_path, picture), 0.05), box=[300, 200, 700, 800])
    numbers = {name: float(value) for name, value in found.numbers.items()}
    assert numbers["length_px"] == pytest.approx(84, abs=5)
    assert numbers["width_px"] == pytest.approx(5, abs=2.5)
    assert min(abs(numbers["angle_deg"] - degrees), 180 - abs(numbers["angle_deg"] - degrees)) < 3
    assert numbers["length_mm"] == pytest.approx(numbers["length_px"] * 0.05, abs=0.01)
    assert numbers["area_mm2"] == pytest.approx(numbers["area_px"] * 0.0025, rel=0.01)
    assert (tmp_path / found.files[0]).exists()


def test_like_components_are_counted_and_the_odd_one_is_not(tmp_path: Path) -> None:
    picture = plate()
    for x in range(40, 260, 40):
        cv2.circle(picture, (x, 100), 9, (30, 30, 30), -1)
    cv2.circle(picture, (150, 60), 3, (30, 30, 30), -1)
    found = called(make_measure(album_of(tmp_path, picture)), box=[60, 200, 900, 700])
    assert (found.numbers["components"], found.numbers["like_components"]) == (7, 6)
    assert "length_mm" not in found.numbers


def test_an_even_place_has_nothing_to_measure(tmp_path: Path) -> None:
    found = called(make_measure(album_of(tmp_path, plate())), box=[300, 300, 700, 700])
    assert "nothing stands out" in found.finding
    assert found.above_normal is None
    assert not found.files


def test_millimetres_hold_for_the_part_and_for_crops_of_it_only(tmp_path: Path) -> None:
    picture = plate()
    cv2.circle(picture, (150, 100), 9, (30, 30, 30), -1)
    album = album_of(tmp_path, picture, picture)
    tool = make_measure(album, 0.1)
    assert "length_mm" not in called(tool, image="reference_1", box=[400, 300, 600, 700]).numbers
    called(make_zoom(album), image="part", box=[300, 200, 700, 800])
    near, whole = called(tool, image="crop_1", box=[250, 200, 750, 800]), called(tool, box=[400, 320, 600, 680])
    assert near.numbers["length_mm"] == pytest.approx(whole.numbers["length_mm"], abs=0.11)


@pytest.mark.parametrize("way", SHOWS)
def test_an_enhanced_image_can_be_looked_into_and_never_speaks_for_a_defect(tmp_path: Path, way: str) -> None:
    picture = plate()
    cv2.circle(picture, (150, 100), 12, (154, 154, 154), -1)
    album = album_of(tmp_path, picture)
    found = called(make_enhance(album), image="part", way=way, box=[200, 200, 800, 800])
    assert (found.above_normal, found.regions) == (None, [])
    assert found.numbers["image"] == "enhanced_1"
    looked = called(make_zoom(album), image="enhanced_1", box=[250, 250, 750, 750])
    assert f"of part, {way}" in looked.finding
    assert looked.regions[0].box == (350, 350, 650, 650)


def test_contrast_lifts_a_faint_mark_and_edges_find_a_scratch(tmp_path: Path) -> None:
    picture = plate()
    cv2.circle(picture, (150, 100), 30, (156, 156, 156), -1)
    album = album_of(tmp_path, picture)
    for way in ("contrast", "edges", "high_frequency"):
        called(make_enhance(album), way=way)
    lifted = album.view("enhanced_1").pixels().astype(int)
    assert abs(lifted[100, 150].mean() - lifted[20, 20].mean()) > 8  # of 6 before
    edges = album.view("enhanced_2").pixels()
    assert edges[100, 120].mean() > 40 > edges[100, 150].mean()


def test_tool_errors_name_what_is_wrong(tmp_path: Path) -> None:
    album = album_of(tmp_path, plate())
    for tool in (make_enhance(album), make_measure(album)):
        extra = {"way": "edges"} if tool.name == "enhance" else {}
        with pytest.raises(ToolError, match="no image 'moon'"):
            tool.invoke(
                {
                    "name": tool.name,
                    "args": {"image": "moon", "box": [0, 0, 9, 9], **extra},
                    "id": "1",
                    "type": "tool_call",
                }
            )
        with pytest.raises(ToolError, match="not valid"):
            called(tool, box=[9, 9, 0, 0], **extra)
    with pytest.raises(ToolError, match="no reference"):
        called(make_find_similar_normals(album))


def test_the_reference_in_the_same_pose_is_the_most_similar(tmp_path: Path) -> None:
    part = draw_part("bracket", "scratch", seed=3, size=256).pixels
    same = draw_part("bracket", seed=3, size=256).pixels
    others = draw_part("board", seed=1, size=256).pixels, np.ascontiguousarray(np.rot90(same))
    found = called(make_find_similar_normals(album_of(tmp_path, part, *others, same)))
    assert next(iter(found.numbers)) == "reference_3"
    assert found.above_normal is None


RANGE = Calibration(limit=10, spread=0.4, freedom=12, certainty=3, method="four references", normals=4)


@pytest.mark.parametrize("notation", CAVEATS)
def test_a_notation_marks_the_place_and_leaves_the_rest_recognisable(notation: Notation) -> None:
    scores = np.zeros((100, 200), np.float32)
    scores[40:60, 80:120] = 14
    found = AnomalyMap(scores, 14.0, "test", RANGE)
    picture = np.random.default_rng(0).integers(60, 200, (100, 200, 3), np.uint8)
    shown = drawn(picture, found, regions(found), notation)
    assert shown.shape == picture.shape
    changed = (shown != picture).any(axis=2)
    assert changed[38:62, 78:122].any() or notation == "highlight"
    if notation in ("bbox", "contour", "heatmap"):
        assert not changed[:20].any()
    if notation == "mask":
        assert (shown[50, 100] == 255).all()
        assert not shown[:30].any()
    if notation == "highlight":
        assert (shown[45:55, 90:110] == picture[45:55, 90:110]).all()
        assert shown[:30].mean() < 0.5 * picture[:30].mean()


@pytest.mark.parametrize("notation", CAVEATS)
def test_a_good_part_is_never_drawn_on_and_a_finding_carries_its_caveat(tmp_path: Path, notation: Notation) -> None:
    detector = FewShotMethod(OnnxBackbone()).fit([draw_part("bracket", seed=s, size=128).pixels for s in range(3)])
    for defect in ("good", "stain"):
        (tmp_path / defect).mkdir()
        album = album_of(tmp_path / defect, draw_part("bracket", defect, seed=8, size=128).pixels)
        tool = make_anomaly_map(album, lambda: detector, notation)
        told: Any = tool.invoke({"name": tool.name, "args": {}, "id": "1", "type": "tool_call"})
        assert bool(told.artifact.files) == (defect == "stain")
        assert (CAVEATS[notation] in told.content) == (defect == "stain")
