"""What went wrong with a server, read from its answers: every server words its refusals in its own way."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx2
import openai

EXCERPT = 300  # characters of a server's words in a message
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds between two tries
PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}
OPTIONAL = ("seed", "temperature", "max_tokens", "stream_options")

_UNKNOWN = r"unsupported|(not|n't|no) (be )?(support|permit|allow|enable)|unknown|unrecogni|unexpected|extra|forbidden"
_PICTURE = r"(image|vision|multi-?modal)(?!\w* (format|type|size|resolution|data))"
_TOOL = r"tool|function call"
_NEEDED = rf"{_UNKNOWN}|requires?\b|support"
_TOO_LONG = (
    r"context.(length|window|size)|(model'?s?|maximum) (context|model) length|prompt is too long"
    r"|too many (input )?tokens|reduce the length|input tokens exceed"
)
# What was refused, what it takes in the request to be refused, and how vLLM, SGLang, llama.cpp, Ollama, DeepSeek,
# OpenAI and OpenRouter word it. A forced tool choice stands before tools, since it names them too.
_REFUSALS = (
    (
        "one picture",
        "pictures",
        r"at most [1-9]\d* image|(only|than) (one|1|a single) image|(multiple|too many) images|passed \d+ image items",
    ),
    (
        "pictures",
        "pictures",
        rf"at most 0 image|({_UNKNOWN})[\w ]*{_PICTURE}|{_PICTURE}[\w ]*({_UNKNOWN})"
        r"|no endpoints found that support image|not a multi-?modal|missing data required for image"
        r"|unknown variant .image_url|text-only model"
        r"|(unsupported|invalid) content (part )?type|image_url is only supported|allowed values: \['text'\]",
    ),
    ("tool_choice", "tool_choice", r"tool_choice"),
    ("tools", "tools", rf"({_TOOL}).*({_NEEDED})|({_NEEDED}).*({_TOOL})"),
    (
        "response_format",
        "response_format",
        r"response_format|json.?schema|\bschema\b|grammar|structured.?output|guided",
    ),
)


class BadReplyError(Exception):
    """An answer with status 200 that holds no reply."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


FAILURES = (
    openai.APIError,
    httpx2.HTTPError,
    json.JSONDecodeError,
    UnicodeDecodeError,
    RecursionError,
    BadReplyError,
)


@dataclass(frozen=True)
class Failure:
    """One failed try. `status`: of HTTP, or what happened instead; `wait`: seconds the server asks for."""

    status: int | Literal["time", "connect", "broken", "reply"]
    text: str
    wait: float | None = None

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed a little later."""
        if self.status in ("connect", "broken"):
            return True
        return self.status in PASSING and "insufficient_quota" not in self.text

    def pause(self, tries: int) -> float:
        """Seconds to wait after so many tries: what the server asks for, else doubled each time."""
        return self.wait if self.wait is not None else min(FIRST_PAUSE * 2.0 ** (tries - 1), LONGEST_PAUSE)


def failure_of(error: Exception) -> Failure:
    """What one of FAILURES says."""
    if isinstance(error, openai.APIStatusError):
        words = _words_of(error.body) or one_line(error.response.text)
        return Failure(error.status_code, words, _asked_to_wait(error.response.headers))
    if isinstance(error, openai.APIError) and not isinstance(error, openai.APIConnectionError):
        error = BadReplyError(_words_of(error.body) or str(error), _status_in(error.body))  # an event of a stream
    if isinstance(error, BadReplyError):
        return Failure(error.status or "reply", one_line(str(error)))
    cause = error.__cause__ or error
    words = one_line(str(cause)) or type(cause).__name__
    kinds: tuple[tuple[type[Exception], Literal["time", "connect", "broken"]], ...] = (
        (httpx2.ConnectTimeout, "connect"),
        (httpx2.TimeoutException, "time"),
        (httpx2.ConnectError, "connect"),
        (httpx2.HTTPError, "broken"),
    )
    return next((Failure(kind, words) for known, kind in kinds if isinstance(cause, known)), Failure("reply", words))


def error_in(answer: Any) -> BadReplyError | None:
    """The error inside an answer with status 200, as gateways send it; None when there is none."""
    if not isinstance(answer, Mapping):
        return BadReplyError(f"not JSON: {one_line(str(answer)) or 'nothing'}")
    if answer.get("error") or answer.get("object") == "error":
        return BadReplyError(_words_of(answer), _status_in(answer.get("error")) or _status_in(answer))
    return None


def refusal(failure: Failure, payload: Mapping[str, Any]) -> str | None:
    """What in the request the server does not take; None for any other failure.

    One of: context (too long), one picture (not several), pictures, tool_choice, tools, response_format, or a name of
    OPTIONAL.
    """
    if not isinstance(failure.status, int) or failure.status in (401, 403, 429):
        return None
    text, sent = failure.text.lower(), _sent(payload)
    if re.search(_TOO_LONG, text):  # first, since it may name pictures and max_tokens
        return "context"
    for name in OPTIONAL:
        if name in sent and re.search(rf"\b{name}\b", text) and re.search(_UNKNOWN, text):
            return name
    for kind, needs, pattern in _REFUSALS:
        if needs in sent and re.search(pattern, text):
            return kind
    # Some only say "bad request" to a field that they do not know.
    return "response_format" if "response_format" in sent and failure.status in (400, 422) else None


def pictures_in(payload: Mapping[str, Any]) -> int:
    """The number of pictures in a request."""
    contents = [message.get("content") for message in payload["messages"]]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return sum(part.get("type") == "image_url" for part in parts)


def one_line(text: str) -> str:
    """The text without line breaks and mark-up, cut to EXCERPT characters."""
    text = text[: 50 * EXCERPT]
    if re.match(r"\s*<(!doctype|html)", text, re.IGNORECASE):
        text = "a web page: " + re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT else line[:EXCERPT] + " ..."


def _sent(payload: Mapping[str, Any]) -> set[str]:
    sent = {*payload, *payload.get("extra_body", {})}
    if pictures_in(payload):
        sent.add("pictures")
    if payload.get("tool_choice") == "auto":
        sent.discard("tool_choice")
    return sent


def _words_of(body: Any) -> str:
    for key in ("error", "message", "detail", "msg"):
        if isinstance(body, Mapping) and body.get(key):
            return _words_of(body[key])
    return one_line(body if isinstance(body, str) else json.dumps(body)) if body else ""


def _status_in(body: Any) -> int | None:
    code = body.get("code") if isinstance(body, Mapping) else None
    return code if isinstance(code, int) and 400 <= code < 600 else None


def _asked_to_wait(headers: Mapping[str, str]) -> float | None:
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):
        return None
