"""`flawlens inspect`: a diagnosis of one part, or of every part in a folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agent.commands.options import AsJson, Product, Reference, chosen_home, inspector_of, takes_an_inspector

if TYPE_CHECKING:
    from agent.batch.results import Batch
    from agent.diagnosis import Inspection

DEFECTIVE = 3  # exit status of --fail-on-defect
FAULT = 1  # of a folder where the program failed, or where nothing could be inspected
INTERRUPTED = 130


@takes_an_inspector
def inspect(
    context: typer.Context,
    image: Annotated[Path, typer.Argument(help="Photograph of the part, or a folder of them.")],
    reference: Reference = None,
    product: Product = None,
    question: Annotated[str | None, typer.Option(help="What to look for or to answer, in your own words.")] = None,
    topic: Annotated[
        Literal["auto", "defects", "object"], typer.Option(help="What the question is about; auto: its words tell.")
    ] = "auto",
    as_json: AsJson = False,
    fail_on_defect: Annotated[bool, typer.Option("--fail-on-defect", help="Exit with 3 when defective.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results of a folder; by default in the home, under batches.")
    ] = None,
) -> None:
    """Inspect one part, or every picture of a folder, and print a diagnosis that cites its evidence."""
    from agent.diagnosis import Inspection
    from tools.image import with_folders_read

    about = None if topic == "auto" else topic
    asked = Inspection(image, with_folders_read(reference or []), product, question, about)
    if image.is_dir():
        _folder(context, asked, as_json, fail_on_defect)
        return
    if out is not None:
        raise typer.BadParameter("--out is for a folder of pictures; `flawlens report` writes the report of one run")
    verdict = _one(context, asked, as_json)
    if fail_on_defect and verdict == "defective":
        raise typer.Exit(DEFECTIVE)


def _one(context: typer.Context, asked: Inspection, as_json: bool) -> str:
    """Inspect one part and print its diagnosis; the verdict."""
    from agent.progress import Progress
    from agent.terminal import print_diagnosis

    inspector = inspector_of(context)
    with Progress() as progress:
        run = inspector.inspect(asked, progress.watch, progress.hear)
    diagnosis = run.diagnosis
    assert diagnosis is not None
    if as_json:
        print(json.dumps(diagnosis, ensure_ascii=False, indent=2))
    else:
        print_diagnosis(run)
    return str(diagnosis["verdict"])


def _folder(context: typer.Context, asked: Inspection, as_json: bool, fail_on_defect: bool) -> None:
    """Inspect a folder and write results, table and summary; one inspector serves all pictures."""
    from agent.batch.loop import inspect_folder, pictures_in, place_for
    from agent.batch.progress import FolderProgress
    from agent.batch.show import print_batch
    from agent.batch.writing import write_batch
    from agent.inspector import expected_errors
    from agent.report.told import Translations

    params = context.params
    found = pictures_in(asked.image)
    inspector = inspector_of(context)
    place = place_for(chosen_home(context, params["home"]), params["out"])
    with FolderProgress(len(found.pictures)) as progress:
        batch = inspect_folder(
            found, lambda path: inspector.inspect(replace(asked, image=path)), place, progress, expected_errors()
        )
    names, language = Translations(inspector.knowledge.list()), params["language"]
    about = {"planner": params["planner"], **({"product": asked.product} if asked.product else {})}
    files = write_batch(batch, place, language, about, lambda type_: names.defect(type_, ()).said(language))
    if as_json:
        told = {**batch.summary(), "files": {name: str(path) for name, path in files.items()}}
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        print_batch(batch, files)
    if status := _status(batch, fail_on_defect):
        raise typer.Exit(status)


def _status(batch: Batch, fail_on_defect: bool) -> int:
    """The exit status: an interrupt counts most, then a fault of the program, then a defect."""
    if batch.stopped:
        return INTERRUPTED
    if batch.surprised or batch.counts["failed"] == len(batch.results):
        return FAULT
    return DEFECTIVE if fail_on_defect and batch.counts["defective"] else 0
