"""What the default detector costs: a bank of many drawn normals, and a query, wall-clock and CPU seconds.

`python tests/bench/bank_cost.py [--normals 200] [--size 256] [--detector few-shot]`
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from evals.example_parts import draw_part
from tools.detectors.methods import make_method

QUERIES = 20
Found = TypeVar("Found")


def spent(work: Callable[[], Found]) -> tuple[Found, float, float]:
    """What the work gives, with its wall-clock and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - cpu


def main(
    normals: Annotated[int, typer.Option(min=1)] = 200,
    size: Annotated[int, typer.Option(min=64)] = 256,
    detector: Annotated[str, typer.Option()] = "few-shot",
) -> None:
    """Fit once, then score pictures one after the other."""
    given = [draw_part("bracket", "good", seed=seed, size=size).pixels for seed in range(normals)]
    asked = [draw_part("bracket", "stain", seed=normals + seed, size=size).pixels for seed in range(QUERIES)]
    method = make_method(detector)
    fitted, wall, cpu = spent(lambda: method.fit(given))
    fitted.score(asked[0])  # what is made at the first picture
    _, query_wall, query_cpu = spent(lambda: [fitted.score(pixels) for pixels in asked])
    told = {
        "method": fitted.calibration.method,
        "build": {"wall_s": wall, "cpu_s": cpu},
        "query": {"wall_ms": 1000 * query_wall / QUERIES, "cpu_ms": 1000 * query_cpu / QUERIES},
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    typer.run(main)
