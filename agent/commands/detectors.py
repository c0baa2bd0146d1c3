"""`flawlens detectors`: which there are, and how good they are on product folders."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.commands.options import DETECTOR_HELP, AsJson, Backbone, Device

if TYPE_CHECKING:
    from evals.detector_bench.report import Report

WIDE = 160  # columns of a table that goes to a file

detectors = typer.Typer(help="Detectors and how good they are.", no_args_is_help=True)


@detectors.command("list")
def detectors_list() -> None:
    """List the detectors and what each needs."""
    from rich.console import Console
    from rich.table import Table

    from tools.detectors.methods import KNOWN

    table = Table("--detector", "what it is and needs", box=None)
    for name, text in KNOWN:
        table.add_row(name.replace("[", "\\["), text)
    Console().print(table)


@detectors.command("bench")
def detectors_bench(
    data: Annotated[Path, typer.Argument(help="Folder of product folders in MVTec layout.", file_okay=False)],
    shots: Annotated[str, typer.Option(help="Numbers of references, separated by commas; all: every one.")] = "1,4,all",
    seeds: Annotated[int, typer.Option(help="Draws of the references.", min=1)] = 5,
    products: Annotated[str, typer.Option(help="Product folders, separated by commas; by default all.")] = "",
    detector: Annotated[list[str], typer.Option(help=f"May be repeated. {DETECTOR_HELP}")] = ["few-shot"],  # noqa: B006
    backbone: Backbone = "onnx",
    device: Device = "auto",
    workers: Annotated[int, typer.Option(help="Processes at a time; more than one blurs the milliseconds.", min=1)] = 1,
    csv: Annotated[Path | None, typer.Option(help="Write every figure of every seed as CSV.", dir_okay=False)] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with the worst cases.", dir_okay=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Measure detectors: AUROC, AUPRO, F1, false alarms, recall, time and memory over draws of the references."""
    from rich.console import Console
    from rich.progress import Progress, TimeElapsedColumn

    from evals.detector_bench.measure import Task
    from evals.detector_bench.report import as_csv
    from evals.detector_bench.report import as_json as plain
    from evals.detector_bench.run import product_folders, run
    from knowledge_base.files import write_atomically

    folders = product_folders(data, [name.strip() for name in products.split(",") if name.strip()])
    tasks = [
        Task(name, backbone, device, folder, shot, seeds)
        for name in detector
        for shot in _shots(shots)
        for folder in folders
    ]
    columns = (*Progress.get_default_columns(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("measuring", total=len(tasks))

        def tick(task: Task) -> None:
            progress.update(bar, advance=1, description=f"{task.detector} {task.folder.name} {task.shot}")

        reports = list(run(tasks, workers, tick))
    if csv:
        write_atomically(csv, as_csv(reports).encode())
    if html:
        from evals.detector_bench.page import render_page

        write_atomically(html, render_page(reports, seeds).encode())
    for problem in dict.fromkeys(problem for one in reports[0].tasks for problem in one.problems):
        print(f"flawlens: {problem}", file=sys.stderr)
    if as_json:
        print(json.dumps(plain(reports, seeds), ensure_ascii=False, indent=2))
    else:
        _print(reports)


def _shots(text: str) -> list[int | None]:
    """Numbers of references; None for all of them."""
    try:
        found = [None if part.strip() == "all" else int(part) for part in text.split(",")]
    except ValueError:
        found = [-1]
    if any(shot is not None and shot < 0 for shot in found):
        raise typer.BadParameter(f"{text!r} is not like 1,4,all", param_hint="--shots")
    return found


def _print(reports: list[Report]) -> None:
    from rich.console import Console
    from rich.table import Table

    from evals.detector_bench.report import SHOWN, rows

    for report in reports:
        table = Table("product", "refs", *(name.replace("_", " ") for name in SHOWN), box=None, title=report.detector)
        for product, shot, values in rows(report):
            table.add_row(
                product, shot, *values, style="bold" if product == "mean" else None, end_section=product == "mean"
            )
        Console(width=None if sys.stdout.isatty() else WIDE).print(table)
        for shot in report.shots:
            shares = [report.pooled(shot, name).mean for name in ("false_alarms", "recall")]
            print(f"{shot} references, all pictures together: false alarms {shares[0]:.3f}, recall {shares[1]:.3f}")
