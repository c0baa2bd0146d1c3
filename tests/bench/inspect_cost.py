"""What an inspection costs: `python tests/bench/inspect_cost.py`. A benchmark, noisy beside other work."""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agent.diagnosis import Inspection
from agent.inspector import Inspector
from agent.planners import make_planner
from evals.example_parts import draw_part
from tools.image import save_image


def child(*arguments: object) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak megabytes of one `flawlens` process."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "agent", *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"flawlens {arguments} failed")
    return time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def warm(home: Path, part: Path, reference: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Wall and CPU seconds of inspections in this process after the first one."""
    inspector = Inspector(home, make_planner("rules"), "rules")
    walls, cpus = [], []
    for _ in range(rounds + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        inspector.inspect(Inspection(part, (reference,), "bracket"))
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return walls[1:], cpus[1:]


def main() -> None:
    """Print help, cold and warm cost, and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        part, reference, home = place / "part.png", place / "good.png", place / "home"
        save_image(part, draw_part("bracket", "scratch", seed=9, size=512).pixels)
        save_image(reference, draw_part("bracket", seed=1, size=512).pixels)
        say("flawlens --help", *child("--help"))
        inspect = ("inspect", part, "-r", reference, "--product", "bracket", "--home", home)
        say("cold inspection, empty home", *child(*inspect))
        say("cold inspection, home in use", *child(*inspect))
        walls, cpus = warm(home, part, reference, rounds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    say("warm inspection, median", statistics.median(walls), statistics.median(cpus), peak)


def say(what: str, wall: float, cpu: float, megabytes: float) -> None:
    """One line of the table."""
    print(f"{what:32} {wall:6.2f} s wall {cpu:6.2f} s CPU {megabytes:6.0f} MB peak")


if __name__ == "__main__":
    main()
