"""Where normal ends: taken from good pictures alone, never from the picture that is judged.

The constants were chosen on random draws of 1, 2, 4 and 8 references of five products; see evals/README.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from tools.detectors import Calibration, Floats, Pixels

PRIOR_SPREAD = 0.10  # of the centre: how far good parts scatter where nothing else is known
PRIOR_WEIGHT = 12  # references that the prior counts for
SPREADS_TO_LIMIT = 1.75
SPARSER_BANK = 0.25  # a left-out reference sees a bank of n - 1 and scores about 0.25 / n too high
ONE_REFERENCE = 1.2  # parts differ more from one reference than it differs from its own copies


def from_left_out(peaks: Sequence[float], copies: Sequence[float]) -> Calibration:
    """Normal range from leave-one-out peaks of n >= 2 references and the peaks of moved copies of references.

    The spread of few references is shrunk towards a prior; what small moves of a reference reach is always normal.
    """
    values = np.asarray(peaks)
    count = len(values)
    centre = float(np.median(values)) * (1 - SPARSER_BANK / count)
    prior = PRIOR_SPREAD * centre
    variance = ((count - 1) * values.var(ddof=1) + PRIOR_WEIGHT * prior**2) / (count - 1 + PRIOR_WEIGHT)
    limit = max(centre + SPREADS_TO_LIMIT * float(np.sqrt(variance)), *copies)
    return _calibration(limit, f"leave-one-out over {count} references", count)


def from_copies(copies: Sequence[float], own: float) -> Calibration:
    """Normal range from one reference: peaks of its moved copies, and `own`, how unlike its patches are to each other.

    A single picture says little about how parts differ, so the range lies beyond the mean of the two.
    """
    limit = ONE_REFERENCE * (max(copies) + own) / 2
    return _calibration(limit, "shifted, turned and relit copies of the one reference", 1)


def _calibration(limit: float, method: str, normals: int) -> Calibration:
    # A floor keeps constant pictures (limit 0) finite.
    limit = max(limit, 1e-3)
    certainty = 2 + np.log2(normals) / 2
    return Calibration(limit, 0.04 * limit, float(certainty), method, normals)


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
