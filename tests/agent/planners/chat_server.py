"""A server on the loopback interface that speaks OpenAI's chat API with replies written down beforehand."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# A reply is a text, a message as in `choices[0].message`, a whole completion (with `choices` or `error`), an Answer, or
# a function of the request's body that gives one of these.
Reply = Any


@dataclass(frozen=True)
class Answer:
    """An answer that is not a plain completion.

    `slow`: seconds before the first byte; `drip`: seconds between single bytes; `drop`: the connection is closed
    "before" the status line or "within" the body.
    """

    body: str | dict[str, Any] = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    slow: float = 0.0
    drip: float | None = None
    drip_headers: bool = False
    drop: str | None = None


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


def refusing(status: int, message: str, **headers: str) -> Answer:
    """An error in the shape that OpenAI gives it."""
    return Answer({"error": {"message": message}}, status, {k.replace("_", "-"): v for k, v in headers.items()})


def call(name: str, **arguments: Any) -> dict[str, Any]:
    """A message with one native tool call."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"content": None, "tool_calls": [{"id": f"call_{name}", "type": "function", "function": function}]}


def step(name: str, thought: str = "", **arguments: Any) -> str:
    """A reply of the json protocol."""
    return json.dumps({"thought": thought, "name": name, "arguments": arguments})


class ChatServer:
    """Gives its replies in order, then `then` for every further request, else an error; `requests` holds all asked."""

    def __init__(self, *replies: Reply, models: Sequence[str] | Answer = ("tiny",), then: Reply | None = None) -> None:
        self.replies, self.models, self.then = deque(replies), models, then
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        self._failed: list[Exception] = []
        self._ended = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False

    @property
    def host(self) -> str:
        """The server's address without a path."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def address(self) -> str:
        """What a user writes after `openai:`."""
        return f"{self.host}/v1"

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Bodies of the requests for a reply."""
        return [request.body for request in self.requests if request.path.endswith("/chat/completions")]

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._server.shutdown()
        self._server.server_close()
        if self._failed:
            raise self._failed[0]

    def answer_to(self, request: Request) -> Answer:
        """The next answer."""
        with self._lock:
            self.requests.append(request)
            if request.path == "/v1/models":
                return self.models if isinstance(self.models, Answer) else Answer(listed(self.models))
            if request.path != "/v1/chat/completions":
                return refusing(404, "Not Found")
            reply = self.replies.popleft() if self.replies else self.then
        try:
            return answered(reply, request.body)
        except Exception as error:  # of a test's function: raised where the server ends
            self._failed.append(error)
            return refusing(418, f"the test's function failed: {error!r}")

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._reply({})

            def do_POST(self) -> None:
                self._reply(json.loads(self.rfile.read(int(self.headers["content-length"]))))

            def _reply(self, body: dict[str, Any]) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                try:
                    self._send(
                        Answer(drop="before") if server._ended else server.answer_to(Request(self.path, headers, body))
                    )
                except OSError:  # the client has gone
                    self.close_connection = True

            def _send(self, answer: Answer) -> None:
                time.sleep(answer.slow)
                if answer.drop:
                    self.close_connection = True
                if answer.drop == "before":
                    return
                text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
                head, body = _head(answer, text.encode()), text.encode()
                body = body[: len(body) // 2] if answer.drop else body
                fast, dripped = (b"", head + body) if answer.drip_headers else (head, body)
                if answer.drip is None:
                    fast, dripped = head + body, b""
                self.wfile.write(fast)
                for byte in dripped:
                    time.sleep(answer.drip or 0.0)
                    self.wfile.write(bytes([byte]))

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def listed(models: Sequence[str]) -> dict[str, Any]:
    """The answer to GET /models."""
    return {"object": "list", "data": [{"id": name, "object": "model"} for name in models]}


def answered(reply: Reply, request: dict[str, Any]) -> Answer:
    """The answer that carries this reply to this request."""
    if isinstance(reply, Callable):  # type: ignore[arg-type]
        return answered(reply(request), request)
    if reply is None:
        return refusing(418, "the test wrote no more replies")
    if isinstance(reply, Answer):
        return reply
    whole = reply if isinstance(reply, dict) and {"choices", "error"} & set(reply) else completion(reply, request)
    if request.get("stream") and whole.get("choices"):
        events = [*map(json.dumps, streamed(whole)), "[DONE]"]
        return Answer("".join(f"data: {event}\n\n" for event in events), headers={"content-type": "text/event-stream"})
    return Answer(whole)


def completion(reply: str | dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """A completion with one choice; `finish_reason` may stand in the message."""
    message = {"content": reply} if isinstance(reply, str) else dict(reply)
    reason = message.pop("finish_reason", "tool_calls" if message.get("tool_calls") else "stop")
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
    model = request.get("model")
    return {"id": "1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}


def streamed(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of a stream that carries this completion: words one by one, then the calls, the end and the usage."""
    message = dict(whole["choices"][0]["message"])

    def event(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "tiny", "choices": [choice]}

    yield event({"role": "assistant", "content": ""})
    for name in ("reasoning_content", "reasoning", "content"):
        for word in (message.get(name) or "").split(" "):
            yield event({name: f"{word} "})
    for number, native in enumerate(message.get("tool_calls") or []):
        yield event({"tool_calls": [{"index": number, **native}]})
    yield event({}, whole["choices"][0]["finish_reason"])
    yield {**event({}), "choices": [], "usage": whole["usage"]}


def _head(answer: Answer, body: bytes) -> bytes:
    kind = "application/json" if isinstance(answer.body, dict) else "text/html"
    headers = {"content-type": kind, "content-length": str(len(body)), **answer.headers}
    lines = [f"HTTP/1.1 {answer.status} Said", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
