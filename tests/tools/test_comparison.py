"""The comparison: unfit references are refused with a reason, light and noise are no defect, real changes are found."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.deeppcb import found, photographed_again
from evals.example_parts import draw_part
from tools.comparison import Comparison, compare
from tools.image import list_images, load_image
from tools.pixels import Pixels
from tools.registration import register

SEEDS = st.integers(0, 2**32 - 1)


def against(data: Path, reference: str, part: str = "00_plain.png") -> Comparison:
    nasty = data / "nasty"
    return compare(load_image(nasty / part).pixels, load_image(nasty / "reference" / reference).pixels)


ROW_30 = ["ref_other_size.png", "ref_gray.png"]
ROW_31 = ["ref_shifted_12_7.png", "ref_rotated_3.png"]
ROW_32 = ["ref_darker.png", "ref_light_gradient.png", "ref_noisy.png", "ref_jpeg_q15.jpg"]


@pytest.mark.parametrize("reference", ["ref.png", *ROW_30, *ROW_31, *ROW_32])
def test_rows_30_to_32_another_size_pose_or_light_is_no_defect(data: Path, reference: str) -> None:
    found = against(data, reference)
    assert found.fit.refused == ""
    assert found.regions == ()


@pytest.mark.parametrize("reference", ["ref_other_aspect.png", "ref_rotated_90.png"])
def test_rows_30_and_31_another_aspect_or_a_quarter_turn_fits_or_says_why_not(data: Path, reference: str) -> None:
    found = against(data, reference)
    assert found.fit.refused or found.regions == ()


def test_row_30_swapped_colours_are_said_or_shown(data: Path) -> None:
    found = against(data, "ref_bgr_swapped.png")
    assert found.fit.refused or found.regions


def test_row_31_the_pose_is_reported(data: Path) -> None:
    shifted, turned = against(data, "ref_shifted_12_7.png").fit, against(data, "ref_rotated_3.png").fit
    assert sorted(map(abs, shifted.shift_px)) == pytest.approx([7, 12], abs=0.7)
    assert abs(turned.angle_deg) == pytest.approx(3, abs=0.3)


def test_row_31_a_mirrored_reference_is_called_mirrored(data: Path) -> None:
    assert "mirrored" in against(data, "ref_mirrored.png").fit.refused


def test_row_33_another_product_is_refused_and_a_defective_reference_shows(data: Path) -> None:
    assert against(data, "ref_other_product.png").fit.refused
    assert against(data, "ref_is_itself_defective.png").regions
    assert against(data, "ref.png", "00_plain_defect.png").regions


def test_deeppcb_defects_are_found_with_their_own_template(data: Path) -> None:
    folder = data / "deeppcb"
    stems = [path.name.removesuffix("_test.jpg") for path in list_images(folder / "test" / "mixed")[0]][::4]
    pairs = [found(folder, stem) for stem in stems]
    assert sum(hit for hit, _, _ in pairs) >= 0.9 * sum(there for _, there, _ in pairs)
    assert all(extra <= 2 for _, _, extra in pairs)


def test_deeppcb_a_board_photographed_again_has_no_difference(data: Path) -> None:
    random = np.random.default_rng(11)
    for path in list_images(data / "deeppcb" / "test" / "good")[0][::5]:
        board = load_image(path).pixels
        again = compare(photographed_again(board, random), board)
        assert (again.fit.refused, again.regions) == ("", ())


@pytest.mark.parametrize(("x", "y"), [(0.12, 0.12), (0.88, 0.12), (0.12, 0.88), (0.88, 0.88), (0.5, 0.5)])
def test_a_blob_is_found_where_it_was_painted(x: float, y: float) -> None:
    random = np.random.default_rng(5)
    reference = cv2.GaussianBlur(random.integers(0, 255, (240, 320, 3), np.uint8), (0, 0), 4)
    reference = np.asarray(cv2.normalize(reference, None, 20, 230, cv2.NORM_MINMAX), np.uint8)
    part = reference.copy()
    centre = (round(x * 320), round(y * 240))
    cv2.circle(part, centre, 9, (250, 250, 20), -1)
    (region,) = compare(part, reference).regions
    x0, y0, x1, y1 = region.box
    assert x0 <= centre[0] <= x1
    assert y0 <= centre[1] <= y1


def test_a_missing_component_is_found_on_a_drawn_board() -> None:
    drawn = draw_part("board", "missing_component", seed=2, size=384)
    found = compare(drawn.pixels, draw_part("board", seed=5, size=384).pixels)
    assert found.fit.refused == ""
    assert any(drawn.mask[y0:y1, x0:x1].any() for x0, y0, x1, y1 in (region.box for region in found.regions))


@pytest.mark.parametrize("shape", [(1, 1), (3, 1000), (1000, 3), (64, 64)])
def test_pictures_without_a_pattern_are_refused_in_words(shape: tuple[int, int]) -> None:
    flat = np.full((*shape, 3), 120, np.uint8)
    found = compare(flat, flat)
    assert found.difference.shape == shape
    assert np.isfinite(found.difference).all()
    assert found.fit.refused
    assert found.regions == ()


def test_two_loose_individuals_do_not_become_a_crowd_of_regions(data: Path) -> None:
    first, second = (load_image(path).pixels for path in list_images(data / "cookie" / "train" / "good")[0][:2])
    assert len(compare(first, second).regions) <= 2


def texture(seed: int, height: int = 240, width: int = 320) -> Pixels:
    """Blotches of three sizes in colour: nothing repeats and no direction stands out."""
    random = np.random.default_rng(seed)
    blotches = np.zeros((height, width, 3))
    for sigma in (3, 6, 12):
        blotches += 2 * sigma * np.asarray(cv2.GaussianBlur(random.normal(size=blotches.shape), (0, 0), sigma))
    return np.asarray(np.clip(128 + 40 * blotches, 0, 255), np.uint8)


def goods(data: Path, product: str, count: int) -> list[Pixels]:
    return [load_image(path).pixels for path in list_images(data / product / "train" / "good")[0][:count]]


@settings(max_examples=25, deadline=None)
@given(
    seed=SEEDS,
    shift=st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    turn=st.floats(-180, 180),
    scale=st.floats(0.8, 1.25),
)
def test_any_shift_turn_and_scale_is_recovered(
    seed: int, shift: tuple[float, float], turn: float, scale: float
) -> None:
    reference = texture(seed)
    matrix = np.asarray(cv2.getRotationMatrix2D((159.5, 119.5), -turn, scale), np.float64)
    matrix[:, 2] += np.array(shift)
    part = np.asarray(cv2.warpAffine(reference, matrix, (320, 240), borderMode=cv2.BORDER_REFLECT), np.uint8)
    fit = register(part, reference)
    assert not fit.refused
    corners = np.array([[40, 40, 1], [280, 40, 1], [40, 200, 1], [280, 200, 1]])
    assert np.abs(corners @ fit.matrix.T - corners @ matrix.T).max() < 1
    assert math.cos(math.radians(fit.angle_deg - turn)) > math.cos(math.radians(0.5))
    assert fit.scale == pytest.approx(scale, rel=0.01)
    assert fit.shift_px == pytest.approx(shift, abs=1)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, height=st.integers(40, 300), width=st.integers(40, 300))
def test_equal_pictures_lie_on_each_other_and_do_not_differ(seed: int, height: int, width: int) -> None:
    picture = texture(seed, height, width)
    result = compare(picture, picture)
    assert (result.fit.refused, result.regions) == ("", ())
    assert (result.fit.overlap, result.fit.similarity) == pytest.approx((1, 1), abs=0.001)
    assert result.difference.max() < 0.1


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, right=st.booleans(), bottom=st.booleans(), swap=st.booleans(), side=st.integers(14, 30))
def test_a_blob_in_the_very_corner_is_found_on_either_side(
    seed: int, right: bool, bottom: bool, swap: bool, side: int
) -> None:
    reference = texture(seed)
    x, y = (320 - side if right else 0), (240 - side if bottom else 0)
    part = reference.copy()
    part[y : y + side, x : x + side] = (250, 250, 20)
    result = compare(reference, part) if swap else compare(part, reference)
    (region,) = result.regions
    assert region.peak == pytest.approx(result.difference.max(), rel=0.01)
    assert region.box == pytest.approx((x, y, x + side, y + side), abs=9)


def test_a_box_of_a_large_picture_is_in_its_own_pixels() -> None:
    reference = np.asarray(cv2.resize(texture(5), (1536, 1152), interpolation=cv2.INTER_CUBIC), np.uint8)
    part = reference.copy()
    part[900:960, 1200:1290] = 0
    result = compare(part, reference)
    (region,) = result.regions
    assert result.difference.shape == part.shape[:2]
    assert region.box == pytest.approx((1200, 900, 1290, 960), abs=8)
    assert region.area_px == pytest.approx(90 * 60, rel=0.2)
    assert region.brightness_change < -20


def drawn_board(size: int = 640) -> Pixels:
    board = np.full((size, size, 3), 220, np.uint8)
    for x, y in ((40, 60), (500, 90), (120, 480), (450, 520), (80, 300)):
        cv2.rectangle(board, (x, y), (x + 45, y + 30), (60, 90, 60), -1)
    return board


def test_more_structure_in_the_part_is_extra_and_in_the_reference_missing() -> None:
    plain, added = drawn_board(), drawn_board()
    cv2.circle(added, (330, 230), 15, (60, 90, 60), -1)
    assert [region.kind for region in compare(added, plain).regions] == ["extra"]
    assert [region.kind for region in compare(plain, added).regions] == ["missing"]


@pytest.mark.parametrize("shift", [3, 8, 14])
def test_a_thing_out_of_its_place_is_not_smoothed_away(shift: int) -> None:
    right, wrong = drawn_board(), drawn_board()
    cv2.rectangle(right, (300, 300), (335, 335), (40, 60, 140), -1)
    cv2.rectangle(wrong, (300 + shift, 300), (335 + shift, 335), (40, 60, 140), -1)
    boxes = [region.box for region in compare(wrong, right).regions]
    assert boxes
    assert all(x0 < 355 and x1 > 290 and y0 < 346 and y1 > 290 for x0, y0, x1, y1 in boxes)


@pytest.mark.parametrize("change", [0.75, 1.25])
def test_a_stain_stays_when_uneven_light_is_taken_out(change: float) -> None:
    board = np.asarray(0.5 * texture(3, 400, 400) + 60, np.uint8)
    y, x = np.mgrid[:400, :400]
    light = (1 - 0.3 * x / 400)[..., None]
    stain = 1 + (change - 1) * np.exp(-((x - 250) ** 2 + (y - 150) ** 2) / (2 * 20**2))[..., None]
    assert compare(np.asarray(board * light, np.uint8), board).regions == ()
    (region,) = compare(np.asarray(board * light * stain, np.uint8), board).regions
    assert region.box[0] < 250 < region.box[2]
    assert region.box[1] < 150 < region.box[3]
    assert (region.brightness_change > 0) == (change > 1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 1000), (3, 1000), (31, 639), (20, 20)])
def test_a_picture_too_small_is_refused_whichever_it_is(shape: tuple[int, int]) -> None:
    small = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    for part, reference in ((small, small), (small, texture(1)), (texture(1), small)):
        assert "too small or too narrow" in compare(part, reference).fit.refused


def test_the_same_pictures_give_the_same_answer(data: Path) -> None:
    first, second = (against(data, "ref_is_itself_defective.png") for _ in range(2))
    assert np.array_equal(first.difference, second.difference)
    assert first.regions == second.regions


@pytest.mark.parametrize(
    ("reference", "reason"), [("ref_mirrored.png", "mirrored"), ("ref_bgr_swapped.png", "swapped")]
)
def test_rows_30_and_31_a_defect_does_not_hide_what_is_wrong_with_the_reference(
    data: Path, reference: str, reason: str
) -> None:
    assert reason in against(data, reference, "00_plain_defect.png").fit.refused


@pytest.mark.parametrize("seed", range(4))
def test_deeppcb_a_copy_is_no_difference_as_the_reference_either(data: Path, seed: int) -> None:
    path = list_images(data / "deeppcb" / "test" / "good")[0][4 * seed + 1]
    board = load_image(path).pixels
    again = compare(board, photographed_again(board, np.random.default_rng(seed)))
    assert (again.fit.refused, again.regions) == ("", ())


def test_more_good_pieces_teach_what_varies(data: Path) -> None:
    first, *others = goods(data, "toy_alien", 4)
    parts = [load_image(path).pixels for path in list_images(data / "toy_alien" / "test" / "good")[0][:4]]
    assert sum(len(compare(part, first, others).regions) for part in parts) <= 4


@pytest.mark.parametrize("number", [11, 15, 19, 38, 39, 40])
def test_a_mutilated_alien_stays_reported_when_more_good_pieces_are_known(data: Path, number: int) -> None:
    first, *others = goods(data, "toy_alien", 4)
    part = load_image(data / "toy_alien" / "test" / "anomaly" / f"anomaly_{number}.png").pixels
    regions = compare(part, first, others).regions
    assert 1 <= len(regions) <= 4
    assert regions[0].peak > 2


@pytest.mark.parametrize("product", ["mvtec_leather", "magnetic_tile", "cookie", "deeppcb"])
def test_what_never_lies_the_same_way_is_refused(data: Path, product: str) -> None:
    first, second = goods(data, product, 2)
    assert compare(first, second).fit.refused


def test_pieces_with_their_own_speckles_are_refused_and_more_references_asked_for(data: Path) -> None:
    first, second = (load_image(path).pixels for path in list_images(data / "mmad/DS-MVTec/pill/image/good")[0][:2])
    assert "give more good references" in compare(first, second).fit.refused
