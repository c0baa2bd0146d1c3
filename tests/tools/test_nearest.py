"""Nearest neighbours and coresets against brute force."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.detectors import Floats
from tools.detectors.nearest import coreset, nearest

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
