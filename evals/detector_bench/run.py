"""The tasks of a bench, carried out in processes of their own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from evals.dataset import GOOD, DatasetError
from evals.detector_bench.measure import Measured, Task, measure
from evals.detector_bench.report import Report


def product_folders(data: Path, products: Sequence[str]) -> list[Path]:
    """The named product folders, or every one with good parts to learn and to test and a defect to find."""
    if products:
        folders = [data / name for name in products]
    else:
        folders = sorted(path.parents[1] for path in data.glob(f"*/train/{GOOD}") if _testable(path.parents[1]))
    for folder in folders or [data]:
        if not folders or not (folder / "test").is_dir():
            raise DatasetError(
                folder, "no product in MVTec layout", "name a folder of folders with train/good and test"
            )
    return folders


def _testable(folder: Path) -> bool:
    kinds = {path.name for path in (folder / "test").glob("[!.]*") if path.is_dir()}
    return GOOD in kinds and len(kinds) > 1


def run(tasks: Sequence[Task], workers: int, tick: Callable[[Task], None]) -> Iterator[Report]:
    """Measure all tasks, `workers` at a time, each in a fresh process so that its memory is its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as pool:
        futures = [pool.submit(measure, task) for task in tasks]
        done: list[Measured] = []
        try:
            for task, future in zip(tasks, futures, strict=True):
                done.append(future.result())
                tick(task)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for detector in dict.fromkeys(task.detector for task in tasks):
        yield Report(detector, tuple(one for one in done if one.task.detector == detector))
