"""What every detector owes: the right size, the right place, nothing on what it was fitted to."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from evals.example_parts import draw_part
from tools.detectors import Detector, Floats, Method, Pixels
from tools.detectors.features import ASSET, ASSET_SHA256, BackboneError, OnnxBackbone, make_backbone, patches
from tools.detectors.few_shot import FewShot, FewShotMethod
from tools.detectors.held import BANK_ROWS
from tools.detectors.methods import make_method
from tools.detectors.patchcore import PatchCore, PatchCoreMethod
from tools.detectors.self_similarity import SelfSimilarity
from tools.image import list_images, load_image

BACKBONE = OnnxBackbone()
METHODS: dict[str, Method] = {"few-shot": FewShotMethod(BACKBONE), "patchcore": PatchCoreMethod(BACKBONE, 256)}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


def goods(folder: Path, count: int) -> list[Pixels]:
    return [load_image(path).pixels for path in list_images(folder / "train" / "good")[0][:count]]


def hottest_place(scores: Floats) -> tuple[int, int]:
    """Column and row."""
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    return int(column), int(row)


@pytest.fixture(scope="module")
def brackets() -> list[Pixels]:
    return [draw_part("bracket", seed=seed, size=256).pixels for seed in range(4)]


@pytest.fixture(scope="module")
def fitted(brackets: list[Pixels]) -> dict[str, Detector]:
    return {name: method.fit(brackets) for name, method in METHODS.items()}


@pytest.fixture(params=METHODS)
def detector(request: pytest.FixtureRequest, fitted: dict[str, Detector]) -> Detector:
    return fitted[request.param]


@pytest.mark.parametrize("shape", [(1, 1), (3, 1000), (639, 31), (5, 1093), (255, 257), (1500, 2000)])
def test_the_map_has_the_size_of_the_picture(fitted: dict[str, Detector], shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (*shape, 3), np.uint8)
    for detector in (*fitted.values(), SelfSimilarity(BACKBONE)):
        found = detector.score(picture)
        assert found.scores.shape == shape
        assert found.scores.dtype == np.float32
        assert np.isfinite(found.scores).all()
        assert 0 <= found.probability <= 1


@every_method
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("product", ["cookie", "toy_alien", "mvtec_leather"])
def test_references_are_not_flagged_themselves(data: Path, product: str, count: int, method: Method) -> None:
    references = goods(data / product, count)
    detector = method.fit(references)
    assert not any(detector.score(reference).above_normal for reference in references)


@every_method
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("product", ["bracket", "gasket", "board"])
def test_drawn_references_are_not_flagged_themselves(product: str, count: int, method: Method) -> None:
    references = [draw_part(product, seed=seed, size=256).pixels for seed in range(count)]
    detector = method.fit(references)
    assert not any(detector.score(reference).above_normal for reference in references)


def test_a_painted_scratch_is_the_hottest_region(detector: Detector) -> None:
    part = draw_part("bracket", seed=7, size=256).pixels.copy()
    cv2.line(part, (60, 170), (100, 190), (250, 250, 250), 2)
    x, y = hottest_place(detector.score(part).scores)
    assert 50 <= x <= 110
    assert 160 <= y <= 200


@every_method
@pytest.mark.parametrize("x", [0.06, 0.5, 0.94])
@pytest.mark.parametrize("y", [0.06, 0.5, 0.94])
def test_row_35_a_defect_at_any_border_of_a_non_square_picture_is_found_there(
    data: Path, method: Method, x: float, y: float
) -> None:
    references = [reference[:500, :900] for reference in goods(data / "mvtec_leather", 2)]
    part = references[0].copy()
    height, width = part.shape[:2]
    cv2.circle(part, (round(x * width), round(y * height)), 20, (20, 60, 240), -1)
    column, row = hottest_place(method.fit(references).score(part).scores)
    assert abs(column - x * width) < 60
    assert abs(row - y * height) < 60


@every_method
@pytest.mark.parametrize("grey", [0, 127, 255])
def test_row_34_a_constant_picture_has_a_finite_score_and_no_hot_spot(grey: int, method: Method) -> None:
    flat = np.full((90, 120, 3), grey, np.uint8)
    for detector in (method.fit([flat]), method.fit([flat, flat, flat]), method.fit([])):
        found = detector.score(flat)
        assert np.isfinite([found.image_score, found.calibration.limit, found.probability]).all()
        assert not found.above_normal


def test_a_constant_picture_of_another_product_has_a_finite_probability(detector: Detector) -> None:
    assert np.isfinite(detector.score(np.full((90, 120, 3), 90, np.uint8)).probability)


@pytest.mark.parametrize("name", METHODS)
def test_a_restored_detector_scores_the_same(name: str, fitted: dict[str, Detector]) -> None:
    again = METHODS[name].restored(fitted[name].fitted())
    part = draw_part("bracket", "scratch", seed=5, size=256).pixels
    one, other = fitted[name].score(part), again.score(part)
    assert np.array_equal(one.scores, other.scores)
    assert (one.image_score, one.calibration) == (other.image_score, other.calibration)


def test_a_batch_scores_like_its_pictures_alone(detector: Detector) -> None:
    random = np.random.default_rng(4)
    drawn = [draw_part("bracket", defect, seed=6, size=256).pixels for defect in ("good", "scratch")]
    pictures = [*drawn, random.integers(0, 255, (90, 300, 3), np.uint8), drawn[0]]
    for one, alone in zip(detector.score_batch(pictures), map(detector.score, pictures), strict=True):
        assert np.allclose(one.scores, alone.scores, atol=1e-4)
        assert one.image_score == pytest.approx(alone.image_score, abs=1e-4)


MOVES = {
    "quarter": (np.rot90, "turned"),
    "half": (lambda one: np.rot90(one, 2), "turned"),
    "mirrored": (lambda one: one[:, ::-1], "flipped"),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_turned_or_mirrored_reference_changes_nothing_where_such_parts_are_normal(
    brackets: list[Pixels], move: str
) -> None:
    moved, pose = MOVES[move]
    references = brackets[:2]
    others = [np.ascontiguousarray(moved(references[0])), references[1]]
    parts = [draw_part("bracket", defect, seed=11, size=256).pixels for defect in ("good", "scratch", "stain")]
    one, other = (FewShotMethod(BACKBONE).fit(given, pose=pose) for given in (references, others))
    as_given = one.score_batch(parts)
    for before, after in zip(as_given, other.score_batch(parts), strict=True):
        assert before.above_normal == after.above_normal
        assert after.image_score == pytest.approx(before.image_score, rel=0.1)
    turned = one.score_batch([np.ascontiguousarray(moved(part)) for part in parts])
    for before, after in zip(as_given, turned, strict=True):
        assert before.above_normal == after.above_normal


def test_fixed_parts_that_lie_turned_are_not_normal(brackets: list[Pixels]) -> None:
    detector = FewShotMethod(BACKBONE).fit(brackets, pose="fixed")
    assert detector.score(np.ascontiguousarray(np.rot90(brackets[0]))).above_normal


@pytest.mark.parametrize(("name", "kind"), [("few-shot", FewShot), ("patchcore", PatchCore)])
def test_row_36_many_references_are_thinned_with_a_notice_and_memory_stops_growing(
    monkeypatch: pytest.MonkeyPatch, name: str, kind: type[FewShot | PatchCore]
) -> None:
    monkeypatch.setattr("tools.detectors.held.MOST_PATCHES", 6_400)
    random = np.random.default_rng(0)
    base = draw_part("gasket", size=64).pixels
    references = [np.clip(base + random.integers(-8, 8, base.shape), 0, 255).astype(np.uint8) for _ in range(400)]
    METHODS[name].fit(references[:2])  # what is made once
    peaks = []
    for count in (100, 400):
        tracemalloc.start()
        detector = METHODS[name].fit(references[:count])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert isinstance(detector, kind)
    assert peaks[1] < peaks[0] + 4_000_000  # the patches of the other 300 are 187 MB
    assert len(detector.bank) <= BANK_ROWS
    assert detector.calibration.normals == 400
    assert "leave-one-out over 100 references" in detector.calibration.method
    assert "of the patches of 400 references held" in detector.calibration.method


def test_the_packaged_backbone_is_the_recorded_one() -> None:
    assert hashlib.sha256(ASSET.read_bytes()).hexdigest() == ASSET_SHA256


def test_onnx_and_torch_give_the_same_map(brackets: list[Pixels]) -> None:
    if not os.environ.get("CI"):
        pytest.importorskip("timm")
    other = make_backbone("timm:tf_efficientnet_lite0", "cpu")
    part = draw_part("bracket", "stain", seed=5, size=256).pixels
    assert np.abs(patches([part], BACKBONE, 256) - patches([part], other, 256)).max() < 1e-3
    one, two = (PatchCoreMethod(backbone, 256).fit(brackets[:2]).score(part) for backbone in (BACKBONE, other))
    assert np.abs(one.scores - two.scores).max() < 1e-3
    assert one.image_score == pytest.approx(two.image_score, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "device"), [("vgg", "auto"), ("onnx", "cuda"), ("onnx", "gpu"), ("timm:no_such_model", "cpu")]
)
def test_a_backbone_that_cannot_be_had_names_the_choices(name: str, device: str) -> None:
    with pytest.raises(BackboneError, match=r"choose|timm|install"):
        make_backbone(name, device)


def test_an_unknown_detector_names_the_choices() -> None:
    with pytest.raises(BackboneError, match="choose few-shot, patchcore"):
        make_method("padim")
