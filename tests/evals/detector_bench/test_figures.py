"""The figures against what they are by definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.detector_bench.figures import MOST_FALSE, Marks, Scored, alarms, f1, image_auroc, pixel_figures
from tools.detectors import Floats

NOTHING = np.zeros((4, 4), np.bool_)
FLAT = np.zeros((4, 4), np.float32)


def scored(score: float, defective: bool, alarm: bool = False) -> Scored:
    return Scored(defective, score, alarm, FLAT, NOTHING)


@given(st.lists(st.tuples(st.floats(0, 9), st.booleans()), min_size=1, max_size=30))
def test_image_auroc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[float, bool]]) -> None:
    found = image_auroc([scored(score, defective) for score, defective in pairs])
    good = np.array([score for score, defective in pairs if not defective])
    bad = np.array([score for score, defective in pairs if defective])
    if not len(good) or not len(bad):
        assert found is None
        return
    order = (bad[:, None] > good).mean() + (bad[:, None] == good).mean() / 2
    assert found == pytest.approx(order)


def test_f1_and_shares_count_every_picture() -> None:
    pictures = [scored(0, True, True), scored(0, True), scored(0, True), scored(0, False, True), scored(0, False)]
    assert f1(pictures) == pytest.approx(2 * 1 / (2 * 1 + 1 + 2))
    assert alarms(pictures, defective=True) == pytest.approx(1 / 3)
    assert alarms(pictures, defective=False) == pytest.approx(1 / 2)
    assert (f1([scored(0, False)]), alarms([], defective=True)) == (None, None)


def by_thresholds(pictures: list[tuple[Floats, list[Marks]]]) -> float:
    """AUPRO straight from its definition: every threshold, every region."""
    values = np.unique(np.concatenate([scores.ravel() for scores, _ in pictures]))[::-1]
    points = [(0.0, 0.0)]
    for value in values:
        overlaps = [(scores >= value)[region].mean() for scores, regions in pictures for region in regions]
        good = [(scores >= value)[~np.logical_or.reduce([*regions, NOTHING])] for scores, regions in pictures]
        points.append((float(np.concatenate(good).mean()), float(np.mean(overlaps))))
    false, overlap = np.array(points).T
    grid = np.linspace(0, MOST_FALSE, 20001)
    return float(np.trapezoid(np.interp(grid, false, overlap), grid) / MOST_FALSE)


@given(st.integers(0, 10_000))
def test_aupro_weighs_every_region_alike(seed: int) -> None:
    random = np.random.default_rng(seed)
    large, small = NOTHING.copy(), NOTHING.copy()
    large[:2, :3], small[3, 3] = True, True
    maps = [random.random((4, 4)).astype(np.float32) for _ in range(2)]
    pictures = [Scored(True, 1, True, maps[0], large | small), Scored(False, 1, True, maps[1], NOTHING)]
    pixel_auroc, aupro = pixel_figures(pictures)
    assert aupro == pytest.approx(by_thresholds([(maps[0], [large, small]), (maps[1], [])]), abs=0.01)
    truth = np.concatenate([(large | small).ravel(), NOTHING.ravel()])
    scores = np.concatenate([one.ravel() for one in maps])
    assert pixel_auroc == pytest.approx(np.mean(scores[truth][:, None] > scores[~truth]))


def test_a_defective_picture_without_a_mask_does_not_count() -> None:
    hot = FLAT.copy()
    hot[0, 0] = 5
    mask = NOTHING.copy()
    mask[0, 0] = True
    unmasked = Scored(True, 1, True, hot, None)
    assert pixel_figures([unmasked, scored(0, False)]) == (None, None)
    assert pixel_figures([unmasked, Scored(True, 1, True, hot, mask), scored(0, False)]) == (1, pytest.approx(1))
