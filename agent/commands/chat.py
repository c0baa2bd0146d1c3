"""`flawlens chat`: talk with the agent about a part."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from agent.commands.options import Product, Reference, chosen_home, inspector_of, nothing_known, takes_an_inspector


@takes_an_inspector
def chat(
    context: typer.Context,
    image: Annotated[Path | None, typer.Argument(help="Photograph of the part; /image names another one.")] = None,
    resume: Annotated[str | None, typer.Option(help="Id of the run whose conversation goes on.")] = None,
    reference: Reference = None,
    product: Product = None,
) -> None:
    """Talk with the agent about a part: it inspects, answers questions, asks when it is not sure, and comes back."""
    from agent.repl.loop import Chat
    from agent.repl.session import Session
    from agent.trace import read_run
    from tools.image import with_folders_read

    if not sys.stdin.isatty():
        nothing_known("chat needs a terminal; in a script use: flawlens inspect")
    if resume and context.get_parameter_source("planner").name == "DEFAULT":  # type: ignore[union-attr]
        # the planner that the conversation was begun with
        planner: str | None = read_run(chosen_home(context, context.params["home"]) / "runs", resume).setup["planner"]
    else:
        planner = None
    session = Session(
        inspector_of(context, planner),
        lambda name: inspector_of(context, name),
        references=list(with_folders_read(reference or [])),
        product=product,
    )
    if resume:
        session.resume(resume)
    elif image:
        session.show(image)
    Chat(session).run()
