"""One pass over the references: what of their patches is held in memory, and the bank that is made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tools.detectors import Fitted, Floats, Pixels
from tools.detectors.nearest import coreset

MOST_PATCHES = 51_200  # held while fitting: all of 50 references at 256 px, 31 MB
MOST_WHOLE = 100  # references that are kept whole, to be judged by the others
BANK_ROWS = 4000


@dataclass(frozen=True, eq=False)
class Held:
    """Patches `rows` (M, C), the reference `owner` (M,) of each, `whole` grids (h, w, C) by reference, and notices."""

    rows: Floats
    owner: npt.NDArray[np.int64]
    whole: dict[int, Floats]
    notices: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class View:
    """Patches of one picture: all of them as a `grid` (h, w, C), and the `rows` (M, C) that are worth holding."""

    grid: Floats
    rows: Floats


def rows_of(grid: Floats) -> Floats:
    """The patches (h * w, C) of a grid (h, w, C)."""
    return grid.reshape(-1, grid.shape[-1])


def hold(references: Sequence[Pixels], views: Callable[[int, Pixels], Sequence[View]], count: int, seed: int) -> Held:
    """Read the references once, in order; `views` gives each one's patch features, as it lies first.

    `count` is how many views there will be: it settles the share of each that is held, so memory does not grow.
    """
    random = np.random.default_rng(seed)
    every = -(-len(references) // MOST_WHOLE)
    most = max(1, MOST_PATCHES // count)
    share = 1.0
    rows: list[Floats] = []
    whole: dict[int, Floats] = {}
    owner: list[int] = []
    for index in range(len(references)):
        found = views(index, references[index])
        if index % every == 0:
            whole[index] = found[0].grid.copy()
        for patches in (view.rows for view in found):
            kept = np.sort(random.permutation(len(patches))[:most])
            rows.append(patches[kept])
            owner += [index] * len(kept)
            share = min(share, len(kept) / len(patches))
    return Held(np.concatenate(rows), np.array(owner), whole, _notices(len(references), len(whole), share))


def _notices(references: int, whole: int, share: float) -> tuple[str, ...]:
    notices = []
    if share < 1:
        held = f"a random {max(share, 0.001):.2g} of the patches of {references} references held, to bound the memory"
        notices.append(held)
    if whole < references:
        notices.append(f"{whole} of {references} references judged by the others")
    return tuple(notices)


def thinned(held: Held, rows: int, seed: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    """At most `rows` of the held patches that cover all of them, and their owners."""
    if len(held.rows) <= rows:
        return held.rows, held.owner
    kept = coreset(held.rows, rows, seed=seed)
    return held.rows[kept], held.owner[kept]


def bank_of(fitted: Fitted) -> Floats:
    """The stored bank (M, C) float32; KeyError or ValueError when there is none."""
    bank = fitted.arrays["bank"]
    if bank.ndim != 2 or not len(bank) or bank.dtype != np.float32:
        raise ValueError(f"a bank has rows of float32, not {bank.shape} of {bank.dtype}")
    return bank
