"""The comparison: unfit references are refused with a reason, light and noise are no defect, real changes are found."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from evals.deeppcb import found, photographed_again
from evals.example_parts import draw_part
from tools.comparison import Comparison, compare
from tools.image import list_images, load_image


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
