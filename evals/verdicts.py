"""Whole inspections over product folders: how often the verdict is right. `python -m evals.verdicts --data FOLDER`."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from agent.diagnosis import Inspection, Procedure
from agent.inspector import Inspector
from agent.planners import make_planner
from evals.dataset import read_product

PRODUCTS = "cookie,toy_alien,mvtec_leather"


@dataclass(frozen=True)
class Judged:
    """One inspected part: what it is and what was said; `seconds` of wall-clock time."""

    product: str
    image: str
    defective: bool
    verdict: str
    fused: float
    type: str
    seconds: float

    @property
    def right(self) -> bool:
        """Whether the verdict is right; uncertain is not."""
        return self.verdict == ("defective" if self.defective else "normal")


def judge(inspector: Inspector, folder: Path, shots: int, seed: int | None) -> list[Judged]:
    """Inspect every test picture of one product with `shots` references: the first ones, or a draw by `seed`."""
    product = read_product(folder)
    good = list(product.train)
    if seed is not None:
        random.Random(seed).shuffle(good)
    judged = []
    for item in track(product.test, folder.name, console=Console(stderr=True)):
        if item.defect == "uncertain":
            continue
        started = time.perf_counter()
        run = inspector.inspect(Inspection(item.path, tuple(good[:shots]), folder.name))
        assert run.diagnosis is not None
        types = [defect["type"] for defect in run.diagnosis["defects"]]
        judged.append(
            Judged(
                folder.name,
                f"{item.defect}/{item.path.name}",
                item.defective,
                run.diagnosis["verdict"],
                run.diagnosis["scores"]["fused"],
                types[0] if types else "",
                time.perf_counter() - started,
            )
        )
    return judged


def main(
    data: Annotated[Path, typer.Option(help="Folder of MVTec-layout product folders.")],
    products: Annotated[str, typer.Option(help="Product folders, separated by commas.")] = PRODUCTS,
    shots: Annotated[int, typer.Option(help="References.")] = 4,
    seed: Annotated[int | None, typer.Option(help="Draw the references; without it the first ones are taken.")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Print verdicts, errors and the share of right ones."""
    judged: list[Judged] = []
    with tempfile.TemporaryDirectory() as home:
        inspector = Inspector(Path(home), make_planner("rules"), "rules", procedure=Procedure(memory=False))
        for name in products.split(","):
            judged += judge(inspector, data / name, shots, seed)
    table = {name: _counts([item for item in judged if item.product == name]) for name in products.split(",")}
    table["all"] = _counts(judged)
    if as_json:
        print(json.dumps(table, indent=2))
        return
    for name, counts in table.items():
        print(name, json.dumps(counts))
    for item in judged:
        if not item.right:
            print(f"  wrong: {item.product}/{item.image} {item.verdict} {item.fused:.3f}")
    print(Counter((item.product, item.type) for item in judged if item.type))


def _counts(judged: list[Judged]) -> dict[str, float]:
    return {
        "parts": len(judged),
        "right": sum(item.right for item in judged),
        "false_alarms": sum(item.verdict == "defective" and not item.defective for item in judged),
        "missed": sum(item.verdict == "normal" and item.defective for item in judged),
        "uncertain": sum(item.verdict == "uncertain" for item in judged),
        "seconds": round(sum(item.seconds for item in judged) / max(len(judged), 1), 3),
    }


if __name__ == "__main__":
    typer.run(main)
