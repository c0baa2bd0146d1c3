"""What every detector owes: the right size, the right place, nothing on what it was fitted to."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.example_parts import draw_part
from tools.detectors import Calibration, Floats, Pixels
from tools.detectors.features import ASSET, ASSET_SHA256, BackboneError, OnnxBackbone, make_backbone, patches
from tools.detectors.nearest import coreset, nearest
from tools.detectors.normal_range import from_copies, from_left_out
from tools.detectors.patchcore import BANK_ROWS, BankError, PatchCore, fit
from tools.detectors.self_similarity import SelfSimilarity
from tools.image import list_images, load_image

BACKBONE = OnnxBackbone()


def goods(folder: Path, count: int) -> list[Pixels]:
    return [load_image(path).pixels for path in list_images(folder / "train" / "good")[0][:count]]


@pytest.fixture(scope="module")
def brackets() -> list[Pixels]:
    return [draw_part("bracket", seed=seed, size=256).pixels for seed in range(4)]


@pytest.fixture(scope="module")
def fitted(brackets: list[Pixels]) -> PatchCore:
    return fit(brackets, BACKBONE)


@pytest.mark.parametrize("shape", [(1, 1), (3, 1000), (639, 31), (5, 1093), (255, 257), (1500, 2000)])
def test_the_map_has_the_size_of_the_picture(fitted: PatchCore, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (*shape, 3), np.uint8)
    for detector in (fitted, SelfSimilarity(BACKBONE)):
        found = detector.score(picture)
        assert found.scores.shape == shape
        assert found.scores.dtype == np.float32
        assert np.isfinite(found.scores).all()
        assert 0 <= found.probability <= 1


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("product", ["cookie", "toy_alien", "mvtec_leather"])
def test_references_are_not_flagged_themselves(data: Path, product: str, count: int) -> None:
    references = goods(data / product, count)
    detector = fit(references, BACKBONE)
    assert not any(detector.score(reference).above_normal for reference in references)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("product", ["bracket", "gasket", "board"])
def test_drawn_references_are_not_flagged_themselves(product: str, count: int) -> None:
    references = [draw_part(product, seed=seed, size=256).pixels for seed in range(count)]
    detector = fit(references, BACKBONE)
    assert not any(detector.score(reference).above_normal for reference in references)


def test_a_painted_scratch_is_the_hottest_region(fitted: PatchCore) -> None:
    part = draw_part("bracket", seed=7, size=256).pixels.copy()
    cv2.line(part, (60, 170), (100, 190), (250, 250, 250), 2)
    scores = fitted.score(part).scores
    y, x = np.unravel_index(int(scores.argmax()), scores.shape)
    assert 50 <= x <= 110
    assert 160 <= y <= 200


@pytest.mark.parametrize("x", [0.06, 0.5, 0.94])
@pytest.mark.parametrize("y", [0.06, 0.5, 0.94])
def test_row_35_a_defect_at_any_border_of_a_non_square_picture_is_found_there(data: Path, x: float, y: float) -> None:
    references = goods(data / "mvtec_leather", 2)
    references = [reference[:500, :900] for reference in references]
    part = references[0].copy()
    height, width = part.shape[:2]
    cv2.circle(part, (round(x * width), round(y * height)), 20, (20, 60, 240), -1)
    scores = fit(references, BACKBONE).score(part).scores
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    assert abs(column - x * width) < 60
    assert abs(row - y * height) < 60


@pytest.mark.parametrize("grey", [0, 127, 255])
def test_row_34_a_constant_picture_has_a_finite_score_and_no_hot_spot(grey: int, fitted: PatchCore) -> None:
    flat = np.full((90, 120, 3), grey, np.uint8)
    for detector in (fit([flat], BACKBONE), fit([flat, flat, flat], BACKBONE), SelfSimilarity(BACKBONE)):
        found = detector.score(flat)
        assert np.isfinite(found.image_score)
        assert np.isfinite(found.calibration.limit)
        assert not found.above_normal
    assert np.isfinite(fitted.score(flat).probability)


def test_a_saved_bank_scores_the_same_and_holds_no_pickle(fitted: PatchCore, tmp_path: Path) -> None:
    fitted.save(tmp_path / "bank.safetensors")
    again = PatchCore.load(tmp_path / "bank.safetensors", BACKBONE)
    part = draw_part("bracket", "scratch", seed=5, size=256).pixels
    one, other = fitted.score(part), again.score(part)
    assert np.array_equal(one.scores, other.scores)
    assert (one.image_score, one.calibration) == (other.image_score, other.calibration)
    assert [path.name for path in tmp_path.iterdir()] == ["bank.safetensors"]


def test_a_bank_of_another_backbone_or_a_broken_one_is_refused_with_the_remedy(
    fitted: PatchCore, tmp_path: Path
) -> None:
    class Other(OnnxBackbone):
        name = "another"

    path = tmp_path / "bank.safetensors"
    fitted.save(path)
    with pytest.raises(BankError, match="fit it again"):
        PatchCore.load(path, Other())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BankError, match="not a readable bank"):
        PatchCore.load(path, BACKBONE)


def test_row_36_many_references_are_thinned_with_a_notice_and_memory_stops_growing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tools.detectors.patchcore.MOST_PATCHES", 6_400)  # at 64 px a picture has 64 patches
    random = np.random.default_rng(0)
    base = draw_part("gasket", size=64).pixels
    references = [np.clip(base + random.integers(-8, 8, base.shape), 0, 255).astype(np.uint8) for _ in range(800)]
    peaks = []
    for count in (100, 800):
        tracemalloc.start()
        detector = fit(references[:count], BACKBONE, size=64)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 4_000_000  # the patches of the other 700 are 27 MB
    assert len(detector.bank) == 640
    assert len(set(detector.owner.tolist())) > 250
    assert detector.calibration.normals == 800
    notice = "leave-one-out over 100 references; a random 12% of the patches of 800 references held"
    assert detector.calibration.method.startswith(notice)


def test_200_references_fill_a_bank_of_4000_rows_at_most(brackets: list[Pixels]) -> None:
    detector = fit(brackets * 50, BACKBONE, size=128)
    assert len(detector.bank) == BANK_ROWS
    assert not any(detector.score(reference).above_normal for reference in brackets)


def test_the_packaged_backbone_is_the_recorded_one() -> None:
    assert hashlib.sha256(ASSET.read_bytes()).hexdigest() == ASSET_SHA256


def test_onnx_and_torch_give_the_same_map(brackets: list[Pixels]) -> None:
    if not os.environ.get("CI"):
        pytest.importorskip("timm")
    other = make_backbone("timm:tf_efficientnet_lite0", "cpu")
    part = draw_part("bracket", "stain", seed=5, size=256).pixels
    assert np.abs(patches([part], BACKBONE, 256) - patches([part], other, 256)).max() < 1e-3
    one, two = fit(brackets[:2], BACKBONE).score(part), fit(brackets[:2], other).score(part)
    assert np.abs(one.scores - two.scores).max() < 1e-3
    assert one.image_score == pytest.approx(two.image_score, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "device"), [("vgg", "auto"), ("onnx", "cuda"), ("onnx", "gpu"), ("timm:no_such_model", "cpu")]
)
def test_a_backbone_that_cannot_be_had_names_the_choices(name: str, device: str) -> None:
    with pytest.raises(BackboneError, match=r"choose|timm|install"):
        make_backbone(name, device)


floats = st.floats(-5, 5, width=32)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(floats, min_size=3, max_size=3), min_size=1, max_size=12), st.integers(1, 8))
def test_nearest_neighbours_equal_brute_force(rows: list[list[float]], queries: int) -> None:
    bank: Floats = np.array(rows, np.float32)
    asked = np.random.default_rng(queries).standard_normal((queries, 3)).astype(np.float32)
    distance, index = nearest(asked, bank)
    every = np.linalg.norm(asked[:, None] - bank[None], axis=2)
    assert np.allclose(distance, every.min(axis=1), atol=1e-3)
    assert np.allclose(every[np.arange(queries), index], every.min(axis=1), atol=1e-3)


def test_a_coreset_covers_better_than_chance_and_repeats_nothing() -> None:
    rows = np.random.default_rng(2).standard_normal((600, 152)).astype(np.float32)
    rows[:20] += 12
    chosen = coreset(rows, 60)
    assert len(set(chosen.tolist())) == 60
    assert nearest(rows, rows[chosen])[0].max() < nearest(rows, rows[20:80])[0].max()
    distances = [nearest(rows, rows[chosen[:count]])[0].max() for count in (1, 5, 20, 60)]
    assert distances == sorted(distances, reverse=True)
    assert len(set(coreset(np.zeros_like(rows), 60).tolist())) == 60


@given(st.lists(st.floats(1, 100), min_size=2, max_size=12), st.lists(st.floats(1, 100), min_size=1, max_size=8))
def test_the_limit_lies_beyond_typical_references_and_their_copies(peaks: list[float], copies: list[float]) -> None:
    found = from_left_out(peaks, copies)
    assert np.isfinite([found.limit, found.spread, found.certainty]).all()
    assert found.limit >= max(copies)
    assert found.limit >= np.median(peaks) * 0.99
    assert from_copies(copies, 1.0).limit > 0


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_probability_rises_with_the_score_and_few_references_never_make_certain(low: float, high: float) -> None:
    calibration = Calibration(limit=10, spread=0.4, certainty=2, method="", normals=1)
    low, high = sorted((low, high))
    assert calibration.probability(low) <= calibration.probability(high)
    assert calibration.probability(10) == pytest.approx(0.5)
    assert 0.11 < calibration.probability(low) <= calibration.probability(high) < 0.89
