"""Figures of many tasks as means and spreads, and what is written of them: JSON, CSV and a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from evals.detector_bench.figures import NAMES
from evals.detector_bench.measure import Measured

SHOWN = ("image_auroc", "pixel_auroc", "aupro", "f1", "false_alarms", "recall", "cpu_ms", "wall_ms", "memory_mb")
LIMITS = "random draws of the references; test folders called `uncertain` left out; maps compared at 256 x 256"


@dataclass(frozen=True)
class Spread:
    """A figure over the seeds: mean, standard deviation (n - 1), and each value; None where it does not exist."""

    seeds: tuple[float | None, ...]

    @property
    def mean(self) -> float | None:
        known = [value for value in self.seeds if value is not None]
        return float(np.mean(known)) if known else None

    @property
    def sd(self) -> float | None:
        known = [value for value in self.seeds if value is not None]
        return float(np.std(known, ddof=1)) if len(known) > 1 else None

    def plain(self) -> dict[str, Any]:
        """As JSON, rounded to five digits."""
        return {"mean": rounded(self.mean), "sd": rounded(self.sd), "seeds": [rounded(value) for value in self.seeds]}


def rounded(value: float | None) -> float | None:
    """Five digits after the point."""
    return None if value is None else round(value, 5)


def spread(measured: Measured, name: str) -> Spread:
    """One figure of a task over its seeds."""
    return Spread(tuple(getattr(figures, name) for figures in measured.figures))


@dataclass(frozen=True, eq=False)
class Report:
    """All tasks of one detector."""

    detector: str
    tasks: tuple[Measured, ...]

    @cached_property
    def shots(self) -> list[str]:
        """The numbers of references, in the order asked for."""
        return list(dict.fromkeys(one.task.shot for one in self.tasks))

    def at(self, shot: str) -> list[Measured]:
        """The tasks with this number of references."""
        return [one for one in self.tasks if one.task.shot == shot]

    def mean(self, shot: str, name: str) -> Spread:
        """The mean over the products that have the figure, for each seed."""
        spreads = [spread(one, name).seeds for one in self.at(shot)]
        means = [[value for value in values if value is not None] for values in zip(*spreads, strict=True)]
        return Spread(tuple(float(np.mean(values)) if values else None for values in means))

    def pooled(self, shot: str, name: str) -> Spread:
        """False alarms or recall over all pictures of all products, for each seed."""
        tasks = self.at(shot)
        counts = [one.good if name == "false_alarms" else one.defective for one in tasks]
        shares = np.array([[value or 0.0 for value in spread(one, name).seeds] for one in tasks])
        return Spread(tuple(float(value) for value in np.average(shares, axis=0, weights=counts)))

    def plain(self) -> dict[str, Any]:
        """As JSON: means over products by number of references, their spread over the seeds, and every product."""
        return {
            "mean": {shot: {name: rounded(self.mean(shot, name).mean) for name in NAMES} for shot in self.shots},
            "sd": {shot: {name: rounded(self.mean(shot, name).sd) for name in NAMES} for shot in self.shots},
            "pooled": {
                shot: {name: self.pooled(shot, name).plain() for name in ("false_alarms", "recall")}
                for shot in self.shots
            },
            "products": {
                product: {
                    one.task.shot: {
                        "made_with": one.made_with,
                        "good": one.good,
                        "defective": one.defective,
                        **{name: spread(one, name).plain() for name in NAMES},
                    }
                    for one in self.tasks
                    if one.task.folder.name == product
                }
                for product in dict.fromkeys(one.task.folder.name for one in self.tasks)
            },
        }


def as_json(reports: Sequence[Report], seeds: int) -> dict[str, Any]:
    """The first detector's figures at the top, every detector's under `detectors`, and how they were taken."""
    setup = {"seeds": seeds, "taken": LIMITS}
    return {**reports[0].plain(), "detectors": {one.detector: one.plain() for one in reports}, "setup": setup}


def as_csv(reports: Iterable[Report]) -> str:
    """One row a detector, product, number of references and seed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["detector", "product", "references", "seed", "good", "defective", *NAMES])
    for report in reports:
        for one in report.tasks:
            for seed, figures in enumerate(one.figures):
                row = [report.detector, one.task.folder.name, one.task.shot, seed, one.good, one.defective]
                writer.writerow(
                    [*row, *("" if (v := getattr(figures, name)) is None else f"{v:.6g}" for name in NAMES)]
                )
    return text.getvalue()


def rows(report: Report) -> list[tuple[str, str, list[str]]]:
    """Lines of a table: product or mean, references, and each shown figure as text."""
    lines = []
    for shot in report.shots:
        for one in report.at(shot):
            lines.append((one.task.folder.name, shot, [_text(name, spread(one, name)) for name in SHOWN]))
        lines.append(("mean", shot, [_text(name, report.mean(shot, name)) for name in SHOWN]))
    return lines


def _text(name: str, value: Spread) -> str:
    if value.mean is None:
        return "-"
    if name in ("cpu_ms", "wall_ms", "memory_mb"):
        return f"{value.mean:.0f}"
    spread_of = f" ±{value.sd:.3f}".replace("±0.", "±.") if value.sd else ""
    return f"{value.mean:.3f}{spread_of}"
