"""Tracing is the ecosystem's own: off unless its variables switch it on, and never in the way of an inspection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

GREETING = {"instance_flags": {"zstd_compression_enabled": True}}
FOREIGN = ("LANGSMITH_", "LANGCHAIN_", "OTEL_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
INSPECTION_SECONDS = 120  # an unhindered one takes a few


@dataclass
class Collector:
    """A LangSmith server on loopback that keeps what it gets; it answers only methods that are not `silent`."""

    url: str = ""
    silent: tuple[str, ...] = ()
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def parts(self) -> Iterator[tuple[str, Any]]:
        """Names and JSON of what was posted: `post.ID`, `post.ID.inputs`, `patch.ID`, ..."""
        for _, kind, body in self.requests:
            if kind.startswith("multipart/"):
                whole: Any = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
                for part in whole.get_payload():
                    name = part.get_param("name", header="content-disposition")
                    yield name, json.loads(part.get_payload(decode=True))


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = b"".join(self.chunks())
            found.requests.append((self.command, self.headers.get("content-type", ""), body))
            if self.command in found.silent:
                found.ended.wait()
                return
            greeting = json.dumps(GREETING).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(greeting)))
            self.end_headers()
            self.wfile.write(greeting)

        do_GET = do_POST = do_PATCH = do_CONNECT = answer  # noqa: N815

        def chunks(self) -> Iterator[bytes]:
            if self.headers.get("transfer-encoding") != "chunked":
                yield self.rfile.read(int(self.headers.get("content-length") or 0))
                return
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    yield found
    found.ended.set()
    server.shutdown()
    thread.join()
    server.server_close()


Inspect = Callable[..., dict[str, Any]]


@pytest.fixture
def inspect(tmp_path_factory: pytest.TempPathFactory, parts: Path) -> Inspect:
    """`flawlens inspect` as a process of its own with these variables; its diagnosis."""
    home = tmp_path_factory.getbasetemp() / "traced"

    def run(**variables: str) -> dict[str, Any]:
        own = {name: value for name, value in os.environ.items() if not name.upper().startswith(FOREIGN)}
        command = ["inspect", parts / "scratched.png", "-r", parts / "good_1.png", "--home", home, "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "agent", *map(str, command)],
            env={**own, **variables},
            capture_output=True,
            text=True,
            timeout=INSPECTION_SECONDS,
            check=True,
        )
        diagnosis: dict[str, Any] = json.loads(done.stdout)
        return diagnosis

    return run


def switched_on(collector: Collector) -> dict[str, str]:
    return {"LANGSMITH_TRACING": "true", "LANGSMITH_ENDPOINT": collector.url, "LANGSMITH_API_KEY": "x"}


def test_nothing_is_sent_by_default(collector: Collector, inspect: Inspect) -> None:
    # whatever speaks HTTP to any place would come to the collector as its proxy
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), collector.url)
    assert inspect(**proxies)["outcome"] == "submitted"
    assert collector.requests == []


def test_nothing_is_sent_while_a_server_is_named_but_tracing_is_off(collector: Collector, inspect: Inspect) -> None:
    inspect(**{**switched_on(collector), "LANGSMITH_TRACING": "false"})
    assert collector.requests == []


def test_langsmith_gets_every_step_to_its_end_and_no_picture(collector: Collector, inspect: Inspect) -> None:
    inspect(**switched_on(collector))
    begun = {name.split(".")[1]: run for name, run in collector.parts() if name.startswith("post.") and "name" in run}
    ended = {name.split(".")[1] for name, run in collector.parts() if isinstance(run, dict) and run.get("end_time")}
    assert {run["name"] for run in begun.values()} >= {"inspection", "survey", "plan", "submit", "audit", "fuse"}
    assert set(begun) == ended
    sent = b"".join(body for _, _, body in collector.requests)
    for picture in (b"data:image", b"base64", b"\xff\xd8\xff", b"/9j/", b"iVBORw0KGgo"):
        assert picture not in sent


@pytest.mark.parametrize("silent", [("GET", "POST"), ("POST",)], ids=["at once", "after its greeting"])
def test_a_server_that_falls_silent_costs_seconds_and_no_result(
    collector: Collector, inspect: Inspect, silent: tuple[str, ...]
) -> None:
    collector.silent = silent
    assert inspect(**switched_on(collector))["outcome"] == "submitted"
    assert collector.requests
