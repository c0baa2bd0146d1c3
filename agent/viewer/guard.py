"""Who may ask the viewer: a page of this machine that knows the token, and no page that another site has opened."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from secrets import compare_digest
from typing import TYPE_CHECKING

from agent.trace import RunError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Boxes lie over pictures by style attributes; scripts are the viewer's own file and nothing else.
POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; script-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def listening(port: int) -> socket.socket:
    """A socket on 127.0.0.1, on a free port for 0; RunError when the port is taken."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(("127.0.0.1", port))
        found.listen()
    except OSError as error:
        found.close()
        cause = f"cannot be listened on ({error.strerror})"
        raise RunError(Path(f"127.0.0.1:{port}"), cause, "choose another one with --port") from error
    return found


class Guard:
    """Lets a request through whose Host is this server, whose first folder is the token, and whose writes are our own.

    403 for a wrong token or a foreign write, 421 for another host.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app = app
        self.token = token
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = {name for name, _ in message["headers"]}
                more = {**HEADERS, "cache-control": "no-store"}
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in more.items() if name.encode() not in kept),
                ]
            await send(message)

        refused = self._refusal(scope)
        if refused:
            from starlette.responses import PlainTextResponse

            await PlainTextResponse(refused[1], refused[0])(scope, receive, with_headers)
            return
        await self.app({**scope, "root_path": f"/{self.token}"}, receive, with_headers)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get("host", "") not in self.hosts:
            return 421, "this server answers to 127.0.0.1 alone"
        first = scope["path"].split("/")[1] if "/" in scope["path"] else ""
        if not compare_digest(first.encode(), self.token.encode()):
            return 403, "the address lacks the token: take the one that `flawlens view` has printed"
        if scope["method"] not in ("GET", "HEAD") and not _own(headers):
            return 403, "a write must come from the viewer's own page"
        return None


def _own(headers: Mapping[str, str]) -> bool:
    """Whether a write comes from a page of this server."""
    if "origin" in headers:
        return headers["origin"] == f"http://{headers['host']}"
    return headers.get("sec-fetch-site") == "same-origin"
