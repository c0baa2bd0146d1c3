"""Products in any orientation are told from fixed ones by their references, and learnt with turned copies."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from evals.example_parts import draw_part
from tools.detectors import Pixels
from tools.detectors.features import OnnxBackbone
from tools.detectors.few_shot import FewShotMethod
from tools.detectors.orientation import lies_in_any_orientation, turned_copies
from tools.image import list_images, load_image

BACKBONE = OnnxBackbone()


def turned_part(seed: int, degrees: float, defect: str = "good") -> Pixels:
    pixels = draw_part("bracket", defect, seed=seed, size=256).pixels
    matrix = cv2.getRotationMatrix2D((127.5, 127.5), degrees, 0.7)
    return np.asarray(cv2.warpAffine(pixels, matrix, (256, 256), borderMode=cv2.BORDER_REPLICATE), np.uint8)


LOOSE = [turned_part(seed, degrees) for seed, degrees in enumerate((0, 75, 160, 290))]


@pytest.mark.parametrize(
    ("product", "loose"),
    [
        ("cookie", False),
        ("elpv_mono", False),
        ("magnetic_tile", False),
        ("mvtec_leather", False),
        ("mvtec_screw", True),
        ("toy_alien", False),
    ],
)
def test_real_products_are_told_apart(data: Path, product: str, loose: bool) -> None:
    references = [load_image(path).pixels for path in list_images(data / product / "train" / "good")[0][:4]]
    assert lies_in_any_orientation(references, BACKBONE) is loose


@pytest.mark.parametrize("product", ["bracket", "gasket", "board"])
def test_drawn_parts_lie_as_they_are_laid(product: str) -> None:
    fixed = [draw_part(product, seed=seed, size=256).pixels for seed in range(4)]
    assert not lies_in_any_orientation(fixed, BACKBONE)
    assert "turned" not in FewShotMethod(BACKBONE).fit(fixed).calibration.method


def test_too_few_or_equal_references_say_nothing() -> None:
    assert lies_in_any_orientation(LOOSE, BACKBONE)
    assert not lies_in_any_orientation(LOOSE[:2], BACKBONE)
    assert not lies_in_any_orientation([LOOSE[0]] * 4, BACKBONE)


def test_a_good_part_in_a_new_orientation_is_normal_and_its_defect_is_not() -> None:
    detector = FewShotMethod(BACKBONE).fit(LOOSE)
    assert "parts lie turned" in detector.calibration.method
    assert not detector.score(turned_part(9, 220)).above_normal
    assert detector.score(turned_part(9, 220, "stain")).above_normal


@pytest.mark.parametrize(("height", "width"), [(300, 100), (60, 3000), (1, 1)])
def test_turned_copies_keep_the_shape_of_the_picture(height: int, width: int) -> None:
    copies = turned_copies(np.full((height, width, 3), 90, np.uint8), 128)
    assert len(copies) == 11
    assert {copy.shape for copy in copies} == {
        (max(1, round(height * 128 / max(height, width))), max(1, round(width * 128 / max(height, width))), 3)
    }
    assert all((copy == 90).all() for copy in copies)
