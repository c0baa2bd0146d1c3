"""The figures of scored pictures, each as the field defines it, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.metrics import auc, f1_score, roc_auc_score, roc_curve

from tools.detectors import Floats

SIDE = 256  # pixels a side at which maps and masks are compared
MOST_FALSE = 0.3  # share of good pixels up to which AUPRO counts

Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scored:
    """One test picture: its image score, whether that lies above the limit, and the map beside the mask.

    `scores` and `mask` are SIDE x SIDE; `mask` is None for a defective picture without one, whose pixels do not count.
    """

    defective: bool
    score: float
    alarm: bool
    scores: Floats
    mask: Marks | None


@dataclass(frozen=True)
class Figures:
    """AUROCs, AUPRO, F1 and shares are 0-1, None where the pictures do not allow them.

    `false_alarms` and `recall` are the shares of good and of defective pictures above the calibrated limit, `f1` is
    taken there too; `fit_s` is the wall-clock time of fitting, `cpu_ms` and `wall_ms` those of one picture without
    reading its file, `memory_mb` the peak of the process.
    """

    image_auroc: float | None
    pixel_auroc: float | None
    aupro: float | None
    f1: float | None
    false_alarms: float | None
    recall: float | None
    fit_s: float
    cpu_ms: float
    wall_ms: float
    memory_mb: float


NAMES = tuple(field.name for field in fields(Figures))


def image_auroc(scored: Sequence[Scored]) -> float | None:
    """Area under the ROC of the image scores, None when all pictures are of one kind."""
    defective = [item.defective for item in scored]
    if len(set(defective)) < 2:
        return None
    return float(roc_auc_score(defective, [item.score for item in scored]))


def f1(scored: Sequence[Scored]) -> float | None:
    """F1 of the alarms at the calibrated limit."""
    if not any(item.defective for item in scored):
        return None
    return float(f1_score([item.defective for item in scored], [item.alarm for item in scored], zero_division=0))


def alarms(scored: Sequence[Scored], *, defective: bool) -> float | None:
    """Share of the good or the defective pictures above the limit."""
    kind = [item.alarm for item in scored if item.defective is defective]
    return float(np.mean(kind)) if kind else None


def pixel_figures(scored: Sequence[Scored]) -> tuple[float | None, float | None]:
    """Pixel AUROC and AUPRO over good pictures and defective ones with a mask; None without masks.

    AUPRO (Bergmann et al., MVTec AD, IJCV 2021, section 4.2): the mean overlap with each connected region against the
    share of good pixels flagged, up to 0.3. It is a ROC whose every region weighs alike.
    """
    masked = [item for item in scored if item.mask is not None]
    if not any(item.defective for item in masked):
        return None, None
    scores = np.concatenate([item.scores.ravel() for item in masked])
    weights = np.concatenate([_by_region(item).ravel() for item in masked])
    truth = weights > 0
    plain = float(roc_auc_score(truth, scores))
    false, overlap, _ = roc_curve(truth, scores, sample_weight=np.where(truth, weights, 1.0))
    end = float(np.interp(MOST_FALSE, false, overlap))
    kept = false < MOST_FALSE
    return plain, float(auc([*false[kept], MOST_FALSE], [*overlap[kept], end])) / MOST_FALSE


def _by_region(item: Scored) -> Floats:
    """One over the area of the region (4-connected) that a pixel lies in, 0 on good pixels."""
    if item.mask is None or not item.mask.any():
        return np.zeros(item.scores.shape, np.float32)
    count, labels = cv2.connectedComponents(item.mask.astype(np.uint8), connectivity=4)
    areas = np.bincount(labels.ravel(), minlength=count).astype(np.float32)
    shares = np.where(np.arange(count) > 0, 1 / areas, 0).astype(np.float32)
    weighted: Floats = shares[labels]
    return weighted
