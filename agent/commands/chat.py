"""`flawlens chat`: talk with the agent about a part."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from agent.commands.options import (
    DEFAULT_HOME,
    DEFAULT_PIXELS,
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
    chosen_home,
    inspector_of,
    nothing_known,
    pictures_of,
)


def chat(
    context: typer.Context,
    image: Annotated[Path | None, typer.Argument(help="Photograph of the part; /image names another one.")] = None,
    resume: Annotated[str | None, typer.Option(help="Id of the run whose conversation goes on.")] = None,
    reference: Reference = None,
    product: Product = None,
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
    home: Home = DEFAULT_HOME,
) -> None:
    """Talk with the agent about a part: it inspects, answers questions, asks when it is not sure, and comes back."""
    from agent.repl.loop import Chat
    from agent.repl.session import Session
    from agent.trace import read_run

    if not sys.stdin.isatty():
        nothing_known("chat needs a terminal; in a script use: flawlens inspect")
    if resume and context.get_parameter_source("planner").name == "DEFAULT":  # type: ignore[union-attr]
        # the planner that the conversation was begun with
        planner = read_run(chosen_home(context, home) / "runs", resume).setup["planner"]
    session = Session(
        inspector_of(context, planner),
        lambda name: inspector_of(context, name),
        references=list(pictures_of(reference or [])),
        product=product,
    )
    if resume:
        session.resume(resume)
    elif image:
        session.show(image)
    Chat(session).run()
