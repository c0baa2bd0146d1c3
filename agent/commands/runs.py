"""`flawlens runs`: traces of past inspections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from agent.commands.options import DEFAULT_HOME, AsJson, Home, RunId, chosen_home

runs = typer.Typer(help="Traces of past inspections.", no_args_is_help=True)


@runs.command("list")
def list_(context: typer.Context, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """List runs, newest first."""
    from agent.terminal import print_runs, summary_of
    from agent.trace import list_runs

    found = list_runs(chosen_home(context, home) / "runs")
    if as_json:
        print(json.dumps([summary_of(run) for run in found], ensure_ascii=False, indent=2))
    else:
        print_runs(found)


@runs.command("show")
def show(
    context: typer.Context,
    run_id: RunId,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Show a run step by step, finished or not."""
    from dataclasses import asdict

    from agent.terminal import print_run
    from agent.trace import read_run

    run = read_run(chosen_home(context, home) / "runs", run_id)
    if as_json:
        print(json.dumps(asdict(run), ensure_ascii=False, indent=2, default=str))
    else:
        print_run(run)


@runs.command("html")
def html(
    context: typer.Context,
    run_id: RunId,
    out: Annotated[Path | None, typer.Option(help="File to write; by default run.html in the run's folder.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Write a run as one self-contained page that opens from disk without a network."""
    from agent.page import write_page
    from agent.trace import read_run

    run = read_run(chosen_home(context, home) / "runs", run_id)
    print(write_page(run, out or run.folder / "run.html"))
