"""The normal range: finite, beyond typical good parts, and a probability whose meaning holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.detectors import BEYOND, Calibration
from tools.detectors.normal_range import from_copies, from_left_out, from_scores

scores = st.floats(0, 1e4)


@given(st.lists(scores, min_size=2, max_size=12))
def test_the_limit_lies_beyond_typical_references(left_out: list[float]) -> None:
    found = from_left_out(left_out)
    assert np.isfinite([found.limit, found.spread, found.certainty]).all()
    assert found.limit > 0
    assert found.limit >= np.median(left_out) * (1 - 0.25 / len(left_out))
    assert found.left_out == tuple(left_out)


@given(st.lists(scores, min_size=1, max_size=8), scores)
def test_one_reference_reaches_beyond_the_mean_of_its_copies_and_its_own_patches(
    copies: list[float], own: float
) -> None:
    found = from_copies(copies, own)
    assert found.limit >= (max(copies) + own) / 2
    assert found.normals == 1


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_probability_rises_with_the_score_and_few_references_never_make_certain(low: float, high: float) -> None:
    calibration = Calibration(limit=10, spread=0.4, freedom=12, certainty=2, method="", normals=1)
    low, high = sorted((low, high))
    assert calibration.probability(low) <= calibration.probability(high)
    assert calibration.probability(10) == pytest.approx(0.5)
    assert 0.11 < calibration.probability(low) <= calibration.probability(high) < 0.89


@pytest.mark.parametrize("count", [4, 12, 40])
def test_the_stated_share_of_good_parts_scores_beyond_the_limit(count: int) -> None:
    random = np.random.default_rng(count)
    beyond = []
    for _ in range(400):
        limit = from_scores(random.normal(10, 1, count).tolist()).limit
        beyond.append((random.normal(10, 1, 200) > limit).mean())
    assert np.mean(beyond) == pytest.approx(BEYOND, abs=0.035)


def test_a_score_of_zero_is_a_score() -> None:
    found = from_left_out([0.0, 0.0, 0.0])
    assert 0 < found.probability(0.0) < 0.5
    assert found.tail(0.0) > BEYOND
