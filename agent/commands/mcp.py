"""`flawlens mcp`: the tools and inspections for other agents."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from agent.commands.options import inspector_of, takes_an_inspector


@takes_an_inspector
def mcp(
    context: typer.Context,
    allow: Annotated[
        list[Path],
        typer.Option(help="Folder whose pictures may be named; repeatable.", exists=True, file_okay=False),
    ],
) -> None:
    """Serve the tools and whole inspections to another agent on stdin and stdout (extra mcp)."""
    from agent.planners import need

    need("mcp", "mcp")
    from agent.mcp_server.parts import Parts
    from agent.mcp_server.server import serve

    with redirect_stdout(sys.stderr):  # what a planner's libraries say is no message of the protocol
        inspector = inspector_of(context)
    serve(Parts(inspector, allow))
