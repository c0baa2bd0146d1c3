"""`flawlens mcp`: the tools and inspections for other agents."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
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
    ProductBackbone,
    ReplyTokens,
    Seconds,
    Tokens,
    Turns,
    inspector_of,
)


def mcp(
    context: typer.Context,
    allow: Annotated[
        list[Path],
        typer.Option(help="Folder whose pictures may be named; repeatable.", exists=True, file_okay=False),
    ],
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
    """Serve the tools and whole inspections to another agent on stdin and stdout (extra mcp)."""
    from agent.planners import need

    need("mcp", "mcp")
    from agent.mcp_server.parts import Parts
    from agent.mcp_server.server import serve

    with redirect_stdout(sys.stderr):  # what a planner's libraries say is no message of the protocol
        inspector = inspector_of(context)
    serve(Parts(inspector, allow))
