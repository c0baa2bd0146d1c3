"""What the default detector costs: a bank of many drawn normals, and a query, wall-clock and CPU seconds.

`python tests/bench/bank_cost.py [--normals 200] [--size 256]`
"""

from __future__ import annotations

import json
import resource
import time
from typing import Annotated

import typer

from evals.example_parts import draw_part
from tools.detectors.methods import make_method

QUERIES = 20


def main(
    normals: Annotated[int, typer.Option(min=1)] = 200,
    size: Annotated[int, typer.Option(min=64)] = 256,
    detector: Annotated[str, typer.Option()] = "few-shot",
) -> None:
    """Fit once, then score pictures one after the other."""
    given = [draw_part("bracket", "good", seed=seed, size=size).pixels for seed in range(normals)]
    asked = [draw_part("bracket", "stain", seed=normals + seed, size=size).pixels for seed in range(QUERIES)]
    wall, cpu = time.perf_counter(), time.process_time()
    fitted = make_method(detector).fit(given, product=None)
    built = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    fitted.score(asked[0])  # what is made at the first picture
    wall, cpu = time.perf_counter(), time.process_time()
    for pixels in asked:
        fitted.score(pixels)
    query = {
        "wall_ms": 1000 * (time.perf_counter() - wall) / QUERIES,
        "cpu_ms": 1000 * (time.process_time() - cpu) / QUERIES,
    }
    told = {
        "method": fitted.calibration.method,
        "build": built,
        "query": query,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    typer.run(main)
