"""`flawlens view`: runs as local pages."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.commands.options import DEFAULT_HOME, Home, chosen_home


def view(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the list in the browser.")] = True,
    home: Home = DEFAULT_HOME,
) -> None:
    """Look at runs in the browser: list, evidence, comparison, feedback; on this machine alone."""
    import secrets
    import webbrowser

    import uvicorn

    from agent.viewer.app import make_app
    from agent.viewer.guard import listening

    listener = listening(port)
    token, port = secrets.token_urlsafe(24), listener.getsockname()[1]
    app = make_app(chosen_home(context, home), token, port)
    address = f"http://127.0.0.1:{port}/{token}/"
    print(f"{address}\nCtrl-C ends it.", flush=True)
    if browser:
        webbrowser.open(address)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", server_header=False, lifespan="off"))
    with listener:
        server.run([listener])
