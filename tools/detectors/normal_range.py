"""Where normal ends: taken from good pictures alone, never from the picture that is judged.

The constants were chosen on random draws of 1, 2, 4 and 8 references of five products; see evals/README.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from tools.detectors import BEYOND, Calibration, Floats, Pixels

PRIOR_SPREAD = 0.10  # of the centre: how far good parts scatter where nothing else is known
PRIOR_WEIGHT = 12  # references that the prior counts for
ONE_REFERENCE = 1.1  # parts differ more from one reference than it differs from its own copies
ONE_TEXTURE = 1.25  # and pieces of a texture, which are never the same piece, differ more still
FLOOR = 1e-3  # keeps constant pictures (limit 0) finite


def from_left_out(scores: Sequence[float]) -> Calibration:
    """Normal range from the scores of n >= 2 references, each judged by the others."""
    count = len(scores)
    return replace(from_scores(scores), method=f"leave-one-out over {count} references")


def from_scores(scores: Sequence[float], floor: float = FLOOR) -> Calibration:
    """Normal range of good parts that the detector was not fitted to: 1..N image scores.

    The predictive t-distribution of the next good part; the spread of few is drawn towards a prior of a tenth.
    """
    from scipy.special import stdtrit

    values = np.asarray(scores, float)
    count = len(values)
    centre = float(np.median(values))
    prior = PRIOR_SPREAD * abs(centre)
    deviations = (count - 1) * values.var(ddof=1) if count > 1 else 0.0
    freedom = count - 1 + PRIOR_WEIGHT
    spread = float(np.sqrt((deviations + PRIOR_WEIGHT * prior**2) / freedom * (1 + 1 / count)))
    limit = centre - float(stdtrit(freedom, BEYOND)) * spread
    return _calibration(limit, spread, freedom, f"the scores of {count} good parts", values, floor)


def from_copies(copies: Sequence[float], own: float, farther: float = ONE_REFERENCE) -> Calibration:
    """Normal range from one reference: scores of its moved copies, and `own`, how unlike its patches are to each other.

    A single picture says little about how parts differ, so the range lies beyond the mean of the two.
    """
    limit = farther * (max(copies) + own) / 2
    method = "shifted, turned and relit copies of the one reference"
    return replace(_calibration(limit, PRIOR_SPREAD * limit, PRIOR_WEIGHT, method, np.empty(0), FLOOR), normals=1)


def _calibration(
    limit: float, spread: float, freedom: float, method: str, left_out: npt.NDArray[np.float64], floor: float
) -> Calibration:
    count = len(left_out)
    certainty = 2 + float(np.log2(max(count, 1))) / 2
    scores = tuple(float(score) for score in left_out)
    return Calibration(max(limit, floor), max(spread, floor / 10), freedom, certainty, method, count, scores)


def moved_copies(pixels: Pixels) -> list[Pixels]:
    """Eight copies that are still the same good part: turned by 3 degrees, shifted by 2 %, scaled by 3 %, relit."""
    height, width = pixels.shape[:2]
    moves = [
        (3.0, 1.0, 0.0),
        (-3.0, 1.0, 0.0),
        (0.0, 1.0, 0.02),
        (0.0, 1.0, -0.02),
        (0.0, 1.03, 0.0),
        (0.0, 0.97, 0.0),
    ]
    copies: list[Pixels] = []
    for degrees, scale, shift in moves:
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale)
        matrix[:, 2] += (shift * width, abs(shift) * height)
        moved = cv2.warpAffine(pixels, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        copies.append(np.asarray(moved, np.uint8))
    return copies + [np.clip(pixels * np.float32(gain), 0, 255).astype(np.uint8) for gain in (0.85, 1.12)]


def own_distances(grid: Floats, apart: int = 3) -> Floats:
    """Distance (h, w) of each patch of `grid` (h, w, C) to its nearest like more than `apart` patches away in it.

    Infinite where the grid is too small to hold one.
    """
    height, width, channels = grid.shape
    rows = grid.reshape(-1, channels)
    y, x = np.divmod(np.arange(len(rows)), width)
    squares = (rows**2).sum(axis=1)
    distances = squares[:, None] + squares[None] - 2 * rows @ rows.T
    near = (np.abs(y[:, None] - y[None]) <= apart) & (np.abs(x[:, None] - x[None]) <= apart)
    distances[near] = np.inf
    nearest_like: Floats = np.sqrt(np.maximum(distances.min(axis=1), 0)).reshape(height, width)
    return nearest_like
