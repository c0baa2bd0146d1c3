"""What the graph itself costs a step, and how big its state gets: `python tests/bench/graph_cost.py`.

A planner whose replies are written down drives whole inspections. What a step takes without its tools is the graph's
own: LangGraph, the wire, the checks, the trace. Making a picture for the wire (read, resize, JPEG) is printed apart,
since it happens once a picture and not once a step. A benchmark, noisy beside other work; CPU time is less so.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool

from agent.diagnosis import Inspection
from agent.inspector import Inspector
from agent.trace import Event
from agent.wire.dialect import QWEN25_VL
from agent.wire.sight import Sight
from evals.example_parts import draw_part
from tests.agent.conftest import ScriptedPlanner, says, submits
from tests.agent.test_checkpoint_size import checkpoints
from tools.image import save_image

DIALECTS = {"none": None, "qwen2.5-vl, tools": QWEN25_VL, "qwen2.5-vl, json": replace(QWEN25_VL, protocol="json")}
LOOKS = [("zoom", {"image": "part", "box": [40 * n + 10, 20, 40 * n + 50, 60]}) for n in range(1, 6)]
REPLIES = [*(says("I look closer.", look) for look in LOOKS), submits()]
Cost = tuple[float, float]


@dataclass
class Clock:
    """Wall and CPU seconds of steps, without those of functions that are counted apart."""

    apart: dict[str, list[Cost]] = field(default_factory=lambda: defaultdict(list))
    steps: dict[str, list[Cost]] = field(default_factory=lambda: defaultdict(list))
    aside: Cost = (0.0, 0.0)
    inside: bool = False
    seen: Cost = (0.0, 0.0)

    def count_apart(self, owner: Any, name: str, account: str) -> None:
        """Let the account take what calls of a function cost from now on."""
        function: Callable[..., Any] = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            if self.inside:
                return function(*args, **kwargs)
            before, self.inside = now(), True
            result = function(*args, **kwargs)
            cost, self.inside = less(now(), before), False
            self.apart[account].append(cost)
            self.aside = self.aside[0] + cost[0], self.aside[1] + cost[1]
            return result

        setattr(owner, name, counted)

    def watch(self, event: Event) -> None:
        """One step is over; the first event only starts the clock."""
        spent = less(now(), self.aside)
        if event.node != "intake":
            self.steps[event.node].append(less(spent, self.seen))
        self.seen = spent


def now() -> Cost:
    """Wall and CPU seconds."""
    return time.perf_counter(), time.process_time()


def less(cost: Cost, other: Cost) -> Cost:
    """The cost without the other."""
    return cost[0] - other[0], cost[1] - other[1]


def measure(clock: Clock, inspector: Inspector, inspection: Inspection, rounds: int) -> None:
    """Inspect again and again; the first two rounds are not counted."""
    planner = inspector.planner
    assert isinstance(planner, ScriptedPlanner)
    for number in range(rounds + 2):
        planner.seen.clear()
        inspector.inspect(inspection, clock.watch)
        if number < 2:
            clock.apart.clear()
            clock.steps.clear()
    planner.seen.clear()


def milliseconds(costs: Sequence[Cost]) -> str:
    """Medians and means as text."""
    walls, cpus = zip(*costs, strict=True)
    found = [1000 * of(values) for of in (statistics.median, statistics.mean) for values in (walls, cpus)]
    return "median {:5.2f} wall {:5.2f} CPU, mean {:5.2f} wall {:5.2f} CPU".format(*found)


def main() -> None:
    """Print the cost of steps and pictures and the size of state and checkpoint for each dialect."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--size", type=int, default=1024, help="pixels of a side of the pictures")
    options = parser.parse_args()
    clock = Clock()
    clock.count_apart(BaseTool, "invoke", "tools")
    clock.count_apart(Sight, "block", "pictures")
    clock.count_apart(Sight, "cost", "pictures")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        part, reference = place / "part.png", place / "good.png"
        save_image(part, draw_part("bracket", "scratch", seed=9, size=options.size).pixels)
        save_image(reference, draw_part("bracket", seed=1, size=options.size).pixels)
        for title, dialect in DIALECTS.items():
            inspector = Inspector(place / "home", ScriptedPlanner(replies=REPLIES, dialect=dialect), "scripted")
            inspection = Inspection(part, (reference,), "bracket")
            measure(clock, inspector, inspection, options.rounds)
            report(title, clock, options.rounds)
            sizes = [len(kept) for kept in checkpoints(inspector, inspection)]
            print(f"  {len(sizes)} checkpoints, the largest {max(sizes) / 1000:.1f} KB")


def report(title: str, clock: Clock, rounds: int) -> None:
    """The table of one dialect, in milliseconds."""
    print(f"\ndialect {title}")
    for node, costs in clock.steps.items():
        print(f"  {node:8} {len(costs) // rounds:2} x  {milliseconds(costs)}")
    print(f"  a step        {milliseconds([cost for costs in clock.steps.values() for cost in costs])}")
    wall, cpu = (1000 * sum(cost[of] for cost in clock.apart["pictures"]) / rounds for of in (0, 1))
    print(f"  pictures for the planner, a run: {wall:.0f} wall {cpu:.0f} CPU")


if __name__ == "__main__":
    main()
