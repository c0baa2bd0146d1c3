"""From answers to scores, in percent: as published, with nothing left out of a denominator.

Per data set and subtask the share of right answers; for Anomaly Detection the mean of the shares on normal and on
anomalous pictures; a data set's average over its subtasks, the last row over the data sets (jam-cc/MMAD,
helper/summary.py, without its faults). An unreadable or missing answer is wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evals.mmad.answers import Answered, AnsweredImage
from evals.mmad.data import DETECTION, SUBTASKS
from evals.mmad.readers import benchmark_reader, strict_reader

AVERAGE = "Average"
RESAMPLES = 1000
INTERVAL = (2.5, 97.5)  # percent
BINS = 10

Table = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Marked:
    """One answer with its mark: `letter` as read, None for an unreadable one."""

    image: int
    dataset: str
    subtask: str
    anomalous: bool
    right: str
    letter: str | None

    @property
    def correct(self) -> bool:
        return self.letter == self.right


def mark(images: Sequence[AnsweredImage], reader: str = "strict") -> list[Marked]:
    """Every answer, read by `strict` or `benchmark`; a letter named by a call needs no reading."""
    return [
        Marked(number, image.dataset, one.subtask, image.anomalous, one.right, _letter(one, image, reader))
        for number, image in enumerate(images)
        for one in image.questions
    ]


def _letter(one: Answered, image: AnsweredImage, reader: str) -> str | None:
    if one.letter is not None or image.failure:
        return one.letter
    return benchmark_reader(one.reply, one.options) if reader == "benchmark" else strict_reader(one.reply, one.options)


Cell = tuple[str, str, bool]  # data set, subtask, and for detection whether the pictures are anomalous
Counts = npt.NDArray[np.float64]  # right answers and answers of each picture (2, images)


def table(marked: Sequence[Marked]) -> Table:
    """Percent by data set and subtask with averages; the last row is the mean of the data sets."""
    return _averaged({cell: counts.sum(axis=1) for cell, counts in cells(marked).items()})


def cells(marked: Sequence[Marked]) -> dict[Cell, Counts]:
    """The right answers and the answers of each picture (2, images), by data set and subtask."""
    images = max((one.image for one in marked), default=-1) + 1
    found: dict[Cell, Counts] = defaultdict(lambda: np.zeros((2, images)))
    for one in marked:
        found[one.dataset, one.subtask, one.anomalous and one.subtask == DETECTION][:, one.image] += one.correct, 1
    return found


def _averaged(sums: Mapping[Cell, npt.NDArray[np.float64]]) -> Table:
    rows: Table = {}
    for dataset in dict.fromkeys(dataset for dataset, _, _ in sums):
        row: dict[str, float] = {}
        for subtask in SUBTASKS:
            kinds = [sums[key] for key in ((dataset, subtask, False), (dataset, subtask, True)) if key in sums]
            if subtask == DETECTION and kinds:
                # a kind that does not occur counts as 0, as published
                row[subtask] = 100 * sum(_share(*kind) for kind in kinds) / 2
            elif kinds:
                row[subtask] = 100 * _share(*kinds[0])
        rows[dataset] = {**row, AVERAGE: float(np.mean([*row.values()]))}
    names = [name for name in (*SUBTASKS, AVERAGE) if any(name in row for row in rows.values())]
    rows[AVERAGE] = {name: float(np.mean([row[name] for row in rows.values() if name in row])) for name in names}
    return rows


def _share(right: float, count: float) -> float:
    return right / count if count else 0.0


def score(images: Sequence[AnsweredImage], reader: str = "strict") -> dict[str, Any]:
    """All scores of a run as plain types, in percent."""
    marked = mark(images, reader)
    rows = table(marked)
    last = rows.pop(AVERAGE, {})
    return {
        "reader": reader,
        "average": last.get(AVERAGE),
        "subtasks": {name: value for name, value in last.items() if name != AVERAGE},
        "datasets": rows,
        "intervals": _intervals(marked, len(images)),
        "images": len(images),
        "questions": len(marked),
        "unreadable": sum(one.letter is None for one in marked),
        "unreadable_by_subtask": {
            name: sum(one.letter is None for one in marked if one.subtask == name) for name in last if name != AVERAGE
        },
        "failed_images": sum(bool(image.failure) for image in images),
        "zero_shot_images": sum(image.zero_shot for image in images),
        "verdict": {**_verdict(marked, images), **_calibration(images)},
        "localisation": _localisation(images),
        "cost": _cost(images),
    }


def _intervals(marked: Sequence[Marked], images: int) -> dict[str, list[float]]:
    """Bootstrap intervals (95 %) of the last row, over pictures: the answers on one are not independent."""
    rows = drawn_again(marked, images)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: interval([row[name] for row in rows if name in row]) for name in names}


def drawn_again(marked: Sequence[Marked], images: int) -> list[dict[str, float]]:
    """The last row of the table for each of 1,000 seeded draws of the pictures; the same draws for the same number."""
    if not marked:
        return []
    draws = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), size=RESAMPLES).astype(float)
    sums = {cell: draws[:, : counts.shape[1]] @ counts.T for cell, counts in cells(marked).items()}
    return [_averaged({cell: drawn[number] for cell, drawn in sums.items()})[AVERAGE] for number in range(RESAMPLES)]


def interval(values: Sequence[float]) -> list[float]:
    """The middle 95 % of the values."""
    return [round(float(edge), 3) for edge in np.percentile(values, INTERVAL)]


def _verdict(marked: Sequence[Marked], images: Sequence[AnsweredImage]) -> dict[str, Any]:
    """Recall, precision, F1, overkill and miss of the answers to the detection questions.

    An unreadable answer is a miss on a defective part and overkill on a good one: it is wrong.
    """
    asked = [one for one in marked if one.subtask == DETECTION]
    hits, misses = (sum(one.anomalous and one.correct is right for one in asked) for right in (True, False))
    clear, alarms = (sum(not one.anomalous and one.correct is right for one in asked) for right in (True, False))
    precision, recall = _share(hits, hits + alarms), _share(hits, hits + misses)
    return {
        "recall": 100 * recall,
        "precision": 100 * precision,
        "f1": 100 * _share(2 * precision * recall, precision + recall),
        "overkill": 100 * _share(alarms, alarms + clear),
        "miss": 100 * _share(misses, hits + misses),
        "uncertain_images": sum(image.verdict == "uncertain" for image in images),
    }


def _calibration(images: Sequence[AnsweredImage]) -> dict[str, Any]:
    """AUROC, expected calibration error and reliability curve of the fused score, over the pictures with one."""
    from sklearn.metrics import roc_auc_score

    scored = [(image.score, image.anomalous) for image in images if image.score is not None]
    if not scored:
        return {"auroc": None, "ece": None, "scored_images": 0, "reliability": []}
    scores = np.array([value for value, _ in scored], float)
    truth = np.array([anomalous for _, anomalous in scored], bool)
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    curve = []
    for one in np.unique(bins):
        inside = bins == one
        share, mean = float(truth[inside].mean()), float(scores[inside].mean())
        curve.append({"score": mean, "share": share, "images": int(inside.sum())})
    ece = sum(point["images"] * abs(point["score"] - point["share"]) for point in curve) / len(scored)
    auroc = 100 * float(roc_auc_score(truth, scores)) if len(set(truth.tolist())) == 2 else None
    return {"auroc": auroc, "ece": 100 * ece, "scored_images": len(scored), "reliability": curve}


def _localisation(images: Sequence[AnsweredImage]) -> dict[str, Any]:
    judged = [(image.iou, bool(image.pointed)) for image in images if image.iou is not None]
    if not judged:
        return {"images": 0, "iou": None, "pointing": None}
    iou, pointing = (100 * float(np.mean([pair[index] for pair in judged])) for index in (0, 1))
    return {"images": len(judged), "iou": iou, "pointing": pointing}


def _cost(images: Sequence[AnsweredImage]) -> dict[str, Any]:
    count = max(len(images), 1)
    seconds = sum(image.seconds for image in images) / count
    return {
        "seconds_per_image": round(seconds, 3),
        "cpu_seconds_per_image": round(sum(image.cpu_seconds for image in images) / count, 3),
        "images_per_hour": round(3600 / seconds, 1) if seconds else None,
        "turns_per_image": round(sum(image.turns for image in images) / count, 2),
        "tool_calls_per_image": round(sum(image.tool_calls for image in images) / count, 2),
        "tool_call_rate": round(sum(image.tool_call_rate for image in images) / count, 3),
        "prompt_tokens": sum(image.prompt_tokens for image in images),
        "completion_tokens": sum(image.completion_tokens for image in images),
    }
