"""The command line: parses, wires, prints. Nothing else reads argv or the environment."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from agent.commands.cases import cases, feedback
from agent.commands.chat import chat
from agent.commands.detectors import detectors
from agent.commands.inspect import inspect
from agent.commands.knowledge import knowledge
from agent.commands.mcp import mcp
from agent.commands.mmad import mmad
from agent.commands.options import BAD_INPUT, DEFAULT_HOME, AsJson, Home, chosen_home
from agent.commands.products import enroll, products
from agent.commands.report import report
from agent.commands.runs import runs
from agent.commands.schema import schema
from agent.commands.view import view

app = typer.Typer(
    name="flawlens",
    help="Inspect industrial parts: calibrated evidence first, then a diagnosis that cites it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(knowledge, name="knowledge")
app.add_typer(runs, name="runs")
app.add_typer(mmad, name="mmad")
app.add_typer(products, name="products")
app.add_typer(detectors, name="detectors")
app.add_typer(cases, name="cases")
app.command()(inspect)
app.command()(chat)
app.command()(view)
app.command()(mcp)
app.command()(schema)
app.command()(enroll)
app.command()(feedback)
app.command()(report)

# LangSmith's tracer waits at the end for threads that are not daemons: a server that hangs would keep it for minutes.
NO_WAITING = ("LANGSMITH_USE_DAEMON", "LANGSMITH_DISABLE_RUN_COMPRESSION")
SENDING_SECONDS = 5.0  # most that an end waits for a tracing server


def main() -> None:
    """Run the command line; a typed error becomes one line on stderr and exit status 2."""
    for name in NO_WAITING:
        os.environ.setdefault(name, "true")
    try:
        app()
    except Exception as error:
        from agent.inspector import expected_errors

        if not isinstance(error, expected_errors()):
            raise
        print(f"flawlens: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    finally:
        _send_traces()


def _send_traces() -> None:
    """Let LangSmith's tracer, if its own variables switch it on, send what it holds, for a few seconds at most."""
    if "langsmith.run_trees" not in sys.modules:
        return
    from langsmith.run_trees import get_cached_client
    from langsmith.utils import tracing_is_enabled

    if tracing_is_enabled():
        sys.stdout.flush()
        get_cached_client().flush(SENDING_SECONDS)


@app.callback()
def whole(
    context: typer.Context,
    home: Home = DEFAULT_HOME,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
) -> None:
    """Options of every command."""
    context.obj = home
    # No option: what is typed can be read in the list of processes.
    context.meta["api_key"] = os.environ.get("FLAWLENS_API_KEY")
    if version:
        from importlib.metadata import version as installed

        print(installed("flawlens"))
        raise typer.Exit


@app.command()
def example(
    folder: Annotated[Path, typer.Argument(help="Folder to draw into.")],
    good: Annotated[int, typer.Option(help="Good pictures of each product.", min=1)] = 6,
    seed: Annotated[int, typer.Option(help="Another seed draws other individuals.")] = 0,
) -> None:
    """Draw licence-clean pictures of parts with and without defects, with masks."""
    from evals.example_parts import write_examples

    written = write_examples(folder, good=good, seed=seed)
    print(f"{len(written)} pictures in {folder}; try:")
    print(f"  flawlens inspect {folder / 'scratched.png'} --reference {folder / 'good.png'} --product bracket")


@app.command()
def doctor(context: typer.Context, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Check this machine; every problem comes with the command that mends it."""
    from agent.doctor import examine
    from agent.listings import print_findings

    findings = examine(chosen_home(context, home))
    if as_json:
        print(json.dumps([finding.as_dict() for finding in findings], ensure_ascii=False, indent=2))
    else:
        print_findings(findings)
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
