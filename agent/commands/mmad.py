"""`flawlens mmad`: check the benchmark's data, answer its questions, score the answers."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agent.commands.options import DEFAULT_HOME, AsJson, Home, chosen_home

if TYPE_CHECKING:
    from evals.mmad.scores import Table

mmad = typer.Typer(help="The MMAD benchmark.", no_args_is_help=True)
Data = Annotated[Path, typer.Option(help="Folder that holds mmad.json and the data sets.", file_okay=False)]
Annotation = Annotated[Path | None, typer.Option(help="Another annotation file than DATA/mmad.json.")]
Reader = Annotated[
    Literal["strict", "benchmark"],
    typer.Option(help="strict never guesses; benchmark takes the last letter, or the option most like the reply."),
]
Switch = Literal["on", "off"]
BAD_DATA = 2


@mmad.command("validate")
def validate_(data: Data, annotation: Annotation = None, as_json: AsJson = False) -> None:
    """Check every path, letter, template and duplicate of an MMAD folder; exit status 2 when something is wrong."""
    from evals.mmad.data import read_mmad, validate

    found = read_mmad(data, annotation)
    problems = validate(found)
    if as_json:
        print(json.dumps([asdict(problem) for problem in problems], ensure_ascii=False, indent=2))
    else:
        for problem in problems:
            print(f"{problem.kind}: {problem.where}: {problem.text}")
        questions = sum(len(image.questions) for image in found.images)
        print(f"{len(found.images)} pictures, {questions} questions, {len(problems)} problems")
    if problems:
        raise typer.Exit(BAD_DATA)


@mmad.command("run")
def run(
    context: typer.Context,
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for answers and traces.", file_okay=False)],
    annotation: Annotation = None,
    planner: Annotated[str, typer.Option(help="As for `flawlens inspect`.")] = "rules",
    mode: Annotated[
        Literal["agent", "direct"], typer.Option(help="agent inspects first; direct asks with the pictures alone.")
    ] = "agent",
    shots: Annotated[int, typer.Option(help="Good parts shown.", min=0, max=8)] = 1,
    templates: Annotated[Literal["random", "similar"], typer.Option(help="Which of MMAD's templates.")] = "random",
    knowledge: Annotated[
        Literal["none", "retrieved", "sheet"],
        typer.Option(help="retrieved: without the object's name; sheet: the object's whole text, near-oracle."),
    ] = "retrieved",
    sheets: Annotated[
        Path | None, typer.Option(help="domain_knowledge.json; by default DATA/domain_knowledge.json.", dir_okay=False)
    ] = None,
    detector: Annotated[
        str,
        typer.Option(
            help="none, default, as for `flawlens inspect`, or the masks: gt marks good parts too, gt-leaking does not."
        ),
    ] = "default",
    notation: Annotated[
        Literal["bbox", "contour", "highlight", "mask", "heatmap"], typer.Option(help="How a map is drawn.")
    ] = "heatmap",
    cot: Annotated[Switch, typer.Option(help="Ask the model to think aloud before a call.")] = "on",
    history: Annotated[Switch, typer.Option(help="Let a question see those before it and their answers.")] = "off",
    per: Annotated[
        Literal["image", "question"], typer.Option(help="One investigation an image, or a run a question.")
    ] = "image",
    image_pixels: Annotated[int, typer.Option(help="Most pixels of a picture shown.", min=50_176)] = 1_003_520,
    dialect: Annotated[str, typer.Option(help="As for `flawlens inspect`.")] = "auto",
    limit: Annotated[int | None, typer.Option(help="Only the first so many pictures.", min=1)] = None,
    sample: Annotated[int | None, typer.Option(help="Only so many pictures, drawn with --seed.", min=1)] = None,
    seed: int = 0,
    shard: Annotated[str, typer.Option(help="i/n: every n-th picture from the i-th.")] = "1/1",
    workers: Annotated[int, typer.Option(help="Processes or actors, each with a model of its own.", min=1)] = 1,
    runner: Annotated[Literal["local", "ray"], typer.Option(help="ray asks on a cluster (extra ray).")] = "local",
    address: Annotated[str, typer.Option(help="Of the Ray cluster; local starts one on this machine.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Answer the questions of an MMAD folder; every answer is on disk as soon as it is there."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    from evals.mmad.answers import AnswerLog
    from evals.mmad.data import read_mmad
    from evals.mmad.expert import with_marks
    from evals.mmad.on_ray import answers_on_ray
    from evals.mmad.run import Settings, Subset, answers_of, setup_of

    settings = Settings(
        planner=planner,
        mode=mode,
        shots=shots,
        templates=templates,
        knowledge=knowledge,
        detector=detector,
        notation=notation,
        cot=cot == "on",
        history=history == "on",
        per=per,
        image_pixels=image_pixels,
        sheets=str((sheets or data / "domain_knowledge.json").resolve()) if knowledge == "sheet" else "",
        dialect=None if dialect == "auto" else dialect,
    )
    subset = Subset(limit, sample, seed, _shard(shard))
    found = read_mmad(data, annotation)
    log = AnswerLog(out)
    done = log.begin(setup_of(settings, subset, found, annotation or data / "mmad.json"), resume)
    chosen = subset.of(found.images)
    left = with_marks([image for image in chosen if image.key not in done], found.images, detector)
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    key = context.meta.get("api_key")
    if runner == "ray":
        coming = answers_on_ray(left, settings, out, workers=workers, address=address, api_key=key)
    else:
        coming = answers_of(left, settings, out, workers=workers, api_key=key)
    failed = 0
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("pictures", total=len(chosen), completed=len(chosen) - len(left))
        for answered in coming:
            log.append(answered)
            failed += bool(answered.failure)
            progress.update(bar, advance=1, description=f"pictures, {failed} failed" if failed else "pictures")
    print(f"{len(chosen)} pictures in {out}, {len(found.problems)} entries or questions left out; next:")
    print(f"  flawlens mmad score {out}")


@mmad.command("score")
def score_(
    out: Annotated[Path, typer.Argument(help="Folder of `mmad run`.", file_okay=False)],
    reader: Reader = "strict",
    as_json: AsJson = False,
) -> None:
    """Score a run, and write it in the benchmark's own answers and accuracy files too."""
    from evals.mmad.answers import AnswerLog
    from evals.mmad.published import write_published
    from evals.mmad.scores import mark, score, table

    log = AnswerLog(out)
    setup, images = log.setup(), log.images()
    found = score(images, reader)
    rows = table(mark(images, reader))
    planner = re.sub(r"[^\w.-]+", "_", setup["settings"]["planner"])
    written = write_published(out, images, rows, f"{setup['settings']['shots']}_shot_{planner}", reader)
    if as_json:
        print(json.dumps({**found, "setup": setup}, ensure_ascii=False, indent=2))
        return
    _print(rows, found)
    print(*written, sep="\n")


@mmad.command("report")
def report_(
    runs: Annotated[list[Path], typer.Argument(help="Folders of `mmad run`; the others are set beside the first.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write into; by default the first run's.")] = None,
    published: Annotated[
        Path | None, typer.Option(help="Folder of published answers_*_accuracy.csv to set beside.", file_okay=False)
    ] = None,
    reader: Reader = "strict",
) -> None:
    """Write runs side by side as Markdown, CSV and one HTML page with plots and wrong answers."""
    from evals.mmad.report import write_report

    print(*write_report(runs, out or runs[0], published, reader), sep="\n")


@mmad.command("build")
def build_(
    context: typer.Context,
    dataset: Annotated[Path, typer.Argument(help="Folder of product folders in MVTec layout.", file_okay=False)],
    out: Annotated[Path, typer.Option(help="Folder for mmad.json, what is known of each picture, and overlays.")],
    products: Annotated[str, typer.Option(help="Product folders, separated by commas; by default all.")] = "",
    seed: int = 0,
    home: Home = DEFAULT_HOME,
) -> None:
    """Write questions in MMAD's form from masks and folders; effects come from the expert entries."""
    from evals.detector_bench.run import product_folders
    from evals.mmad.build import build
    from knowledge_base.store import KnowledgeBase

    folders = product_folders(dataset, [name.strip() for name in products.split(",") if name.strip()])
    built = build(folders, out, KnowledgeBase(chosen_home(context, home) / "knowledge"), seed)
    for subtask, count in built.questions.items():
        print(f"{count:6} {subtask}")
    print(f"{built.images} pictures; the right option is the longest in {built.longest:.0%}, chance is 25 %; next:")
    print(f"  flawlens mmad validate --data {dataset.resolve().parent} --annotation {built.annotation}")
    print(f"  flawlens mmad run --data {dataset.resolve().parent} --annotation {built.annotation} --out RUN")


def _print(rows: Table, found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table as Shown

    from evals.mmad.scores import AVERAGE

    columns = [*found["subtasks"], AVERAGE]
    shown = Shown("data set", *columns, box=None)
    for name, row in rows.items():
        values = [f"{row[column]:.2f}" if column in row else "" for column in columns]
        shown.add_row(name, *values, style="bold" if name == AVERAGE else None)
    low, high = found["intervals"].get(AVERAGE, (0.0, 0.0))
    Console(width=160).print(shown)
    print(f"average {found['average']:.2f} %, 95 % interval {low:.2f} to {high:.2f}; reader {found['reader']}")
    print(
        f"{found['questions']} questions on {found['images']} pictures: {found['unreadable']} unreadable (counted as"
        f" wrong), {found['failed_images']} pictures failed, {found['zero_shot_images']} without a template"
    )
    verdict, cost = found["verdict"], found["cost"]
    parts = [f"{name} {verdict[name]:.1f}" for name in ("recall", "precision", "f1", "overkill", "miss")]
    print("verdict: " + ", ".join(parts) + (f", AUROC {verdict['auroc']:.1f}" if verdict["auroc"] is not None else ""))
    print(f"{cost['seconds_per_image']} s an image ({cost['cpu_seconds_per_image']} s of CPU time)")


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise typer.BadParameter(f"{text!r} is not like 1/4", param_hint="--shard")
    return int(found[1]), int(found[2])
