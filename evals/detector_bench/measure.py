"""Fit a detector to drawn references of one product and score its test pictures, in a process of its own."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evals.dataset import Problem, ProductData, Sample, load_mask, read_product
from evals.detector_bench.figures import SIDE, Figures, Marks, Scored, alarms, f1, image_auroc, pixel_figures
from tools.detectors import AnomalyMap, Method, Pixels
from tools.detectors.methods import make_method
from tools.drawing import at_most, heat_overlay
from tools.image import load_image
from tools.resample import resized

UNSURE = "uncertain"  # a folder of parts on which the experts disagree
WORST = 3  # of each kind
WORST_LONGEST = 320  # pixels


@dataclass(frozen=True)
class Task:
    """One product with one number of references (None: all), `seeds` draws of them, by one detector."""

    detector: str
    backbone: str
    device: str
    folder: Path
    shots: int | None
    seeds: int

    @property
    def shot(self) -> str:
        """The number of references as it is written."""
        return "all" if self.shots is None else str(self.shots)


@dataclass(frozen=True, eq=False)
class WorstCase:
    """A picture that was judged wrong or nearly so: its score in units of the limit, and the part with its heat."""

    name: str
    defective: bool
    score: float
    pixels: Pixels


@dataclass(frozen=True, eq=False)
class Measured:
    """What came of a task: figures by seed, worst cases of the first seed, what was counted, what was left out."""

    task: Task
    made_with: str
    figures: tuple[Figures, ...]
    good: int
    defective: int
    worst: tuple[WorstCase, ...]
    problems: tuple[str, ...]


def measure(task: Task) -> Measured:
    """Measure one task; DatasetError, ImageError or BackboneError when it cannot be done."""
    product = read_product(task.folder)
    tested = _tested(product)
    method = make_method(task.detector, backbone=task.backbone, device=task.device)
    rounds = [_round(method, product, drawn(product, task.shots, seed), tested) for seed in range(task.seeds)]
    return Measured(
        task,
        method.name,
        tuple(figures for figures, _ in rounds),
        sum(not one.sample.defective for one in tested),
        sum(one.sample.defective for one in tested),
        tuple(_worst(tested, rounds[0][1])),
        _told(product.problems),
    )


def _told(problems: Sequence[Problem]) -> tuple[str, ...]:
    """One line for each kind of problem: its first, and how many more there are."""
    lines = []
    for kind in dict.fromkeys(problem.kind for problem in problems):
        first, *more = [problem for problem in problems if problem.kind == kind]
        lines.append(f"{first.where}: {kind}: {first.text}" + (f" (and {len(more)} more)" if more else ""))
    return tuple(lines)


def drawn(product: ProductData, shots: int | None, seed: int) -> list[Path]:
    """The references of a draw, in its order; all of them where there are fewer."""
    count = len(product.train) if shots is None else min(shots, len(product.train))
    return random.Random(str(seed)).sample(product.train, count)


@dataclass(frozen=True, eq=False)
class _Tested:
    sample: Sample
    pixels: Pixels
    mask: Marks | None


def _tested(product: ProductData) -> list[_Tested]:
    tested = []
    for sample in product.test:
        if sample.defect != UNSURE:
            pixels = load_image(sample.path).pixels
            tested.append(_Tested(sample, pixels, _mask(sample, *pixels.shape[:2])))
    return tested


def _mask(sample: Sample, height: int, width: int) -> Marks | None:
    """The mask at SIDE x SIDE: empty for a good part, None where there is none."""
    if not sample.defective:
        return np.zeros((SIDE, SIDE), np.bool_)
    if not sample.masks:
        return None
    mask = load_mask(sample.masks, height=height, width=width).pixels
    return resized(mask.astype(np.uint8) * np.uint8(255), SIDE, SIDE) > 127


def _round(
    method: Method, product: ProductData, references: Sequence[Path], tested: Sequence[_Tested]
) -> tuple[Figures, list[AnomalyMap]]:
    given = [load_image(path).pixels for path in references]
    started = time.perf_counter()
    detector = method.fit(given, product=product.folder.name)
    fit_s = time.perf_counter() - started
    detector.score(tested[0].pixels)  # what is made at the first picture
    wall, cpu = time.perf_counter(), time.process_time()
    found = [detector.score(one.pixels) for one in tested]
    cpu_ms, wall_ms = (1000 * spent / len(found) for spent in (time.process_time() - cpu, time.perf_counter() - wall))
    scored = [_scored(one, its) for one, its in zip(tested, found, strict=True)]
    pixel_auroc, aupro = pixel_figures(scored)
    figures = Figures(
        image_auroc=image_auroc(scored),
        pixel_auroc=pixel_auroc,
        aupro=aupro,
        f1=f1(scored),
        false_alarms=alarms(scored, defective=False),
        recall=alarms(scored, defective=True),
        fit_s=fit_s,
        cpu_ms=cpu_ms,
        wall_ms=wall_ms,
        memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    )
    return figures, found


def _scored(tested: _Tested, found: AnomalyMap) -> Scored:
    scores = resized(found.scores, SIDE, SIDE)
    return Scored(tested.sample.defective, found.image_score, found.above_normal, scores, tested.mask)


def _worst(tested: Sequence[_Tested], found: Sequence[AnomalyMap]) -> Iterator[WorstCase]:
    """The good parts with the highest scores and the defective ones with the lowest."""
    cases = [(one, its, its.image_score / its.calibration.limit) for one, its in zip(tested, found, strict=True)]
    good = sorted((case for case in cases if not case[0].sample.defective), key=lambda case: -case[2])
    bad = sorted((case for case in cases if case[0].sample.defective), key=lambda case: case[2])
    for one, its, score in (*good[:WORST], *bad[:WORST]):
        drawing = at_most(heat_overlay(one.pixels, its, []), WORST_LONGEST)
        yield WorstCase(f"{one.sample.defect}/{one.sample.path.name}", one.sample.defective, score, drawing)
