"""How long the viewer's list takes with many runs: `python -m tests.bench.viewer_list [RUNS]`.

Copies of one real run (run.json and the first step) under other ids, products and verdicts. Prints seconds to index
them at first and after a restart, and milliseconds of a page of the list, through the whole application but the socket.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from starlette.testclient import TestClient

from agent.diagnosis import Inspection
from agent.inspector import Inspector
from agent.planners import make_planner
from agent.viewer.app import make_app
from evals.example_parts import draw_part
from tools.image import save_image

REPEATS = 30
ASKED = {
    "all": "",
    "page 100": "?page=100",
    "one verdict": "?state=uncertain",
    "product and search": "?product=product%207&words=scratch",
    "search without a hit": "?words=nothinglikethis",
    "by score": "?sort=score",
}


def copies(home: Path, count: int) -> None:
    """Writes `count` runs that look like one that was really made."""
    save_image(home / "part.png", draw_part("bracket", "scratch", seed=9, size=256).pixels)
    run = Inspector(home, make_planner("rules"), "rules").inspect(Inspection(home / "part.png"))
    saved = json.loads((run.folder / "run.json").read_text())
    first = (run.folder / "events.jsonl").read_text().splitlines()[0]
    for number in range(count):
        id_ = f"20260101-{number:06d}-abcdef"
        saved["inspection"]["product"] = f"product {number % 40}"
        saved["diagnosis"]["verdict"] = ("normal", "defective", "uncertain")[number % 3]
        saved["diagnosis"]["scores"]["fused"] = number % 997 / 997
        (home / "runs" / id_ / "pictures").mkdir(parents=True)
        (home / "runs" / id_ / "run.json").write_text(json.dumps({**saved, "id": id_}))
        (home / "runs" / id_ / "events.jsonl").write_text(first + "\n")


def measured(what: Callable[[], object]) -> tuple[float, float, float]:
    """Median and 95th percentile in ms, and mean CPU ms."""
    times, cpu = [], time.process_time()
    for _ in range(REPEATS):
        started = time.perf_counter()
        what()
        times.append(1000 * (time.perf_counter() - started))
    spent = 1000 * (time.process_time() - cpu) / REPEATS
    return statistics.median(times), sorted(times)[int(0.95 * REPEATS)], spent


def main() -> None:
    """Prints the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        copies(home, count)
        for start in ("first start", "restart"):
            started, cpu = time.perf_counter(), time.process_time()
            client = TestClient(make_app(home, "token", 80), base_url="http://127.0.0.1:80")
            client.headers["host"] = "127.0.0.1:80"
            assert client.get("/token/").status_code == 200
            seconds = time.perf_counter() - started
            print(f"{start}: {seconds:.2f} s ({time.process_time() - cpu:.2f} s CPU), {count} runs")
        for name, query in ASKED.items():
            median, high, spent = measured(lambda query=query: client.get(f"/token/{query}"))  # type: ignore[misc]
            print(f"{name:<22} p50 {median:6.1f} ms  p95 {high:6.1f} ms  CPU {spent:6.1f} ms")


if __name__ == "__main__":
    main()
