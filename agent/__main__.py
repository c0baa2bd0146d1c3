"""The command line: parses, wires, prints. Nothing else reads argv or the environment."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from agent.commands.cases import cases, feedback
from agent.commands.detectors import detectors
from agent.commands.knowledge import Product, knowledge
from agent.commands.mmad import mmad
from agent.commands.options import DEFAULT_HOME, DETECTOR_HELP, AsJson, Device, Home, chosen_home
from agent.commands.products import enroll, products

Switch = Literal["on", "off"]

app = typer.Typer(
    name="flawlens",
    help="Inspect industrial parts: calibrated evidence first, then a diagnosis that cites it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
runs = typer.Typer(help="Traces of past inspections.", no_args_is_help=True)
app.add_typer(knowledge, name="knowledge")
app.add_typer(runs, name="runs")
app.add_typer(mmad, name="mmad")
app.add_typer(products, name="products")
app.add_typer(detectors, name="detectors")
app.add_typer(cases, name="cases")
app.command()(enroll)
app.command()(feedback)

PLANNER_HELP = (
    "rules (embedded, no language model), qwen:MODEL (a folder or a hub's id of a Qwen-VL), or openai:URL#MODEL (vLLM,"
    " llama.cpp, Ollama, SGLang, a hosted API), whose key is read from FLAWLENS_API_KEY."
)
DIALECT_HELP = (
    "auto (the model's name tells), or the family of an openai: model: qwen2-vl, qwen2.5-vl, qwen3-vl, generic"
    " (boxes in 0-1000)."
)
DEFECTIVE = 3  # exit status of --fail-on-defect
BAD_INPUT = 2
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
def inspect(
    context: typer.Context,
    image: Annotated[Path, typer.Argument(help="Photograph of the part.")],
    reference: Annotated[
        list[Path] | None,
        typer.Option("--reference", "-r", help="A good part, or a folder of them; repeatable."),
    ] = None,
    product: Product = None,
    question: Annotated[str | None, typer.Option(help="What to look for or to answer, in your own words.")] = None,
    topic: Annotated[
        Literal["auto", "defects", "object"], typer.Option(help="What the question is about; auto: its words tell.")
    ] = "auto",
    planner: Annotated[str, typer.Option(help=PLANNER_HELP)] = "rules",
    hub: Annotated[
        Literal["huggingface", "modelscope"], typer.Option(help="Where qwen:ID is fetched from.")
    ] = "huggingface",
    attention: Annotated[
        Literal["auto", "flash_attention_2", "sdpa", "eager"], typer.Option(help="Attention of qwen: models.")
    ] = "auto",
    dialect: Annotated[str, typer.Option(help=DIALECT_HELP)] = "auto",
    image_pixels: Annotated[
        int, typer.Option(help="Most pixels of a picture shown to a model.", min=50_176)
    ] = 1_003_520,
    reply_tokens: Annotated[int, typer.Option(help="Most tokens of one reply of a model.", min=64)] = 2048,
    detector: Annotated[
        str | None, typer.Option(help=f"{DETECTOR_HELP} By default that of the enrolled product.")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="onnx (packaged), or timm:NAME with the extra torch.")] = None,
    device: Device = "auto",
    language: Annotated[Literal["en", "zh"], typer.Option(help="Language of the answer.")] = "en",
    notation: Annotated[
        Literal["bbox", "contour", "highlight", "mask", "heatmap"],
        typer.Option(help="How an anomaly map is drawn for a model and for the trace."),
    ] = "heatmap",
    audit: Annotated[Switch, typer.Option(help="Ask for the evidence against the verdict.")] = "on",
    cot: Annotated[Switch, typer.Option(help="Ask the model to think aloud before a call.")] = "on",
    turns: Annotated[int, typer.Option(help="Most turns of the planner.", min=1, max=50)] = 10,
    tokens: Annotated[int, typer.Option(help="Most tokens the planner generates.", min=64)] = 16_384,
    seconds: Annotated[float, typer.Option(help="Most seconds of an inspection.", min=1)] = 900,
    as_json: AsJson = False,
    fail_on_defect: Annotated[bool, typer.Option("--fail-on-defect", help="Exit with 3 when defective.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Inspect one part and print a diagnosis that cites its evidence."""
    from agent.diagnosis import Inspection, Procedure
    from agent.inspector import Inspector
    from agent.planners import make_planner
    from agent.progress import Progress
    from agent.terminal import print_diagnosis

    about = None if topic == "auto" else topic
    inspection = Inspection(image, _pictures(reference or []), product, question, about)
    procedure = Procedure(turns, tokens, seconds, audit == "on", cot == "on", language, notation=notation)
    chosen = make_planner(
        planner,
        hub=hub,
        attention=attention,
        device=device,
        dialect=None if dialect == "auto" else dialect,
        most_pixels=image_pixels,
        reply_tokens=reply_tokens,
        reasoning=procedure.reasoning,
        api_key=context.meta["api_key"],
    )
    inspector = Inspector(
        chosen_home(context, home),
        chosen,
        planner,
        procedure=procedure,
        detector=detector,
        backbone=backbone,
        device=device,
    )
    with Progress() as progress:
        run = inspector.inspect(inspection, progress.watch, progress.hear)
    diagnosis = run.diagnosis
    assert diagnosis is not None
    if as_json:
        print(json.dumps(diagnosis, ensure_ascii=False, indent=2))
    else:
        print_diagnosis(run)
    if fail_on_defect and diagnosis["verdict"] == "defective":
        raise typer.Exit(DEFECTIVE)


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


@runs.command("list")
def runs_list(context: typer.Context, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """List runs, newest first."""
    from agent.terminal import print_runs, summary_of
    from agent.trace import list_runs

    found = list_runs(chosen_home(context, home) / "runs")
    if as_json:
        print(json.dumps([summary_of(run) for run in found], ensure_ascii=False, indent=2))
    else:
        print_runs(found)


@runs.command("show")
def runs_show(
    context: typer.Context,
    run_id: Annotated[str, typer.Argument(help="Id of the run, or its beginning.")],
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
def runs_html(
    context: typer.Context,
    run_id: Annotated[str, typer.Argument(help="Id of the run, or its beginning.")],
    out: Annotated[Path | None, typer.Option(help="File to write; by default run.html in the run's folder.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Write a run as one self-contained page that opens from disk without a network."""
    from agent.page import write_page
    from agent.trace import read_run

    run = read_run(chosen_home(context, home) / "runs", run_id)
    print(write_page(run, out or run.folder / "run.html"))


def _pictures(references: list[Path]) -> tuple[Path, ...]:
    """The references, with folders replaced by the pictures in them."""
    from tools.image import ImageError, list_images

    found: list[Path] = []
    for path in references:
        inside = list_images(path)[0] if path.is_dir() else [path]
        if not inside:
            raise ImageError(path, "no picture in this folder", "name a picture or a folder with pictures")
        found += inside
    return tuple(found)


if __name__ == "__main__":
    main()
