"""`flawlens report`: the report of one inspection for the shop floor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from agent.commands.options import DEFAULT_HOME, Home, RunId, chosen_home


def report(
    context: typer.Context,
    run_id: RunId,
    format_: Annotated[Literal["html", "pdf", "md", "json"], typer.Option("--format", help="Kind of file.")] = "html",
    language: Annotated[
        Literal["en", "zh"] | None, typer.Option(help="Language of the report; by default that of the run.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write; by default report.<format> in the run's folder.")
    ] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Write the report of a finished run: verdict, pictures, defects, what to do, evidence, a line to sign."""
    from agent.report.writing import write_report
    from agent.trace import read_run

    run = read_run(chosen_home(context, home) / "runs", run_id)
    print(write_report(run, format_, language, out))
