"""Nearest neighbours by plain matrix products, in chunks: at a few thousand rows faster than an index library."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tools.detectors import Floats

CHUNK = 4096


def nearest(
    queries: Floats, bank: Floats, *, among: npt.NDArray[np.bool_] | None = None
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Euclidean distance (Q,) to the nearest row of `bank` and its index (Q,); `among` (M,) names the rows allowed."""
    squares = np.einsum("ij,ij->i", bank, bank)
    if among is not None:
        squares = np.where(among, squares, np.inf)
    index = np.concatenate(
        [
            np.argmin(squares - 2 * (queries[start : start + CHUNK] @ bank.T), axis=1)
            for start in range(0, len(queries), CHUNK)
        ]
    )
    # The matrix product loses digits for near-equal rows; the winner's distance is taken again, exactly.
    return np.linalg.norm(queries - bank[index], axis=1), index


def coreset(rows: Floats, count: int, *, seed: int = 0, at_most: int = 20_000) -> npt.NDArray[np.int64]:
    """Indices of `count` rows that cover all rows: greedy k-centre over a random projection to 64 dimensions.

    PatchCore section 3.2. More than `at_most` rows are first thinned at random, which costs no accuracy (measured).
    """
    random = np.random.default_rng(seed)
    kept = np.arange(len(rows)) if len(rows) <= at_most else random.choice(len(rows), at_most, replace=False)
    projected = (rows[kept] @ random.standard_normal((rows.shape[1], 64), np.float32)) / np.float32(8)
    chosen = np.empty(min(count, len(kept)), np.int64)
    chosen[0] = random.integers(len(kept))
    distance = np.full(len(kept), np.inf, np.float32)
    for step in range(1, len(chosen)):
        centre = projected[chosen[step - 1]]
        np.minimum(distance, ((projected - centre) ** 2).sum(axis=1), out=distance)
        chosen[step] = distance.argmax()
    return kept[chosen]
