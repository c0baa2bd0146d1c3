"""`flawlens inspect`: a diagnosis of one part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from agent.commands.options import (
    DEFAULT_HOME,
    DEFAULT_PIXELS,
    AsJson,
    Attention,
    Audit,
    Cot,
    Detector,
    Device,
    Dialect,
    Home,
    Hub,
    ImagePixels,
    Language,
    Notation,
    Planner,
    Product,
    ProductBackbone,
    Reference,
    ReplyTokens,
    Seconds,
    Tokens,
    Turns,
    inspector_of,
    pictures_of,
)

DEFECTIVE = 3  # exit status of --fail-on-defect


def inspect(
    context: typer.Context,
    image: Annotated[Path, typer.Argument(help="Photograph of the part.")],
    reference: Reference = None,
    product: Product = None,
    question: Annotated[str | None, typer.Option(help="What to look for or to answer, in your own words.")] = None,
    topic: Annotated[
        Literal["auto", "defects", "object"], typer.Option(help="What the question is about; auto: its words tell.")
    ] = "auto",
    planner: Planner = "rules",
    hub: Hub = "huggingface",
    attention: Attention = "auto",
    dialect: Dialect = "auto",
    image_pixels: ImagePixels = DEFAULT_PIXELS,
    reply_tokens: ReplyTokens = 2048,
    detector: Detector = None,
    backbone: ProductBackbone = None,
    device: Device = "auto",
    language: Language = "en",
    notation: Notation = "heatmap",
    audit: Audit = "on",
    cot: Cot = "on",
    turns: Turns = 10,
    tokens: Tokens = 16_384,
    seconds: Seconds = 900,
    as_json: AsJson = False,
    fail_on_defect: Annotated[bool, typer.Option("--fail-on-defect", help="Exit with 3 when defective.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Inspect one part and print a diagnosis that cites its evidence."""
    from agent.diagnosis import Inspection
    from agent.progress import Progress
    from agent.terminal import print_diagnosis

    about = None if topic == "auto" else topic
    inspection = Inspection(image, pictures_of(reference or []), product, question, about)
    inspector = inspector_of(context)
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
