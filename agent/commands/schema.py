"""`flawlens schema`: what other programs read, as JSON Schema."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


def schema(of: Annotated[Literal["diagnosis", "run", "event"], typer.Argument(help="What is read.")]) -> None:
    """Print the JSON Schema of a diagnosis, of run.json, or of a line of events.jsonl."""
    from agent.schema import text_of

    print(text_of(of), end="")
