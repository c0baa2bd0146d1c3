"""Where a server is and which model it serves, asked before the first inspection: `URL#MODEL`."""

from __future__ import annotations

import difflib
import json
import re
from urllib.parse import urlsplit

import httpx2

from agent.planners import PlannerError
from agent.planners.deadline import DeadlineTransport
from agent.planners.server_errors import one_line

CHECK_SECONDS = 5.0
KEY = "FLAWLENS_API_KEY"
SENT = {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent"}
MOST_NAMES = 5
MISSING = "it knows no /models"


class ServerClient(httpx2.Client):
    """An HTTP client that sends this key and nothing else about us, follows no redirect and uses no proxy."""

    def __init__(self, api_key: str | None) -> None:
        self._key = (api_key or "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise PlannerError(f"the key holds characters that no key has: set {KEY} again")
        super().__init__(
            transport=DeadlineTransport(),
            trust_env=False,
            follow_redirects=False,
            event_hooks={"request": [self._send_only_ours]},
        )

    def without_key(self, text: str) -> str:
        """The text with the key blotted out, in case a server repeats it."""
        return text.replace(self._key, "***") if self._key else text

    def refused(self, url: str, status: int) -> PlannerError:
        """The error for the statuses 401 and 403."""
        return PlannerError(f"{url} {'refuses the key' if self._key else 'wants a key'} ({status}): set {KEY}")

    def _send_only_ours(self, request: httpx2.Request) -> None:
        # The SDK adds organization, project and other headers from the environment, meant for another server.
        for name in set(request.headers) - SENT:
            del request.headers[name]
        if self._key:
            request.headers["authorization"] = f"Bearer {self._key}"


def find_model(http: ServerClient, address: str) -> tuple[str, str]:
    """The base URL, up to its version, and the model's name; PlannerError says what to change.

    `MODEL` may be left out where one model is served. A server without a list of models is taken at its word.
    """
    url, model = split_address(address)
    # Most people leave out the /v1; a few services have their version elsewhere in the path, or none.
    places = [url] if re.search(r"/v\d", url) else [f"{url}/v1", url]
    reason = ""
    for place in places:
        served = _models(http, place)
        if isinstance(served, list):
            return place, _chosen(place, model, served)
        reason = http.without_key(served)
    if places == [url] and model and reason == MISSING:
        return url, model
    raise PlannerError(
        f"{url} has no list of models ({reason}): "
        "is it a model server? Write its address up to the version, and the model: URL/v1#MODEL"
    )


def split_address(address: str) -> tuple[str, str]:
    """URL and model of `URL#MODEL`, the model '' when there is none."""
    url, _, model = address.strip().partition("#")
    try:
        parts = urlsplit(url)
        complete = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        complete = False
    # The address is not repeated: what is wrong with it may be that it holds a secret.
    if not complete:
        raise PlannerError("the server's address is no URL: write it as http://HOST:PORT/v1#MODEL")
    if parts.username is not None or parts.query:
        raise PlannerError(f"the server's address holds a name, key or query: leave it out, a key goes into {KEY}")
    return url.rstrip("/"), model.strip()


def no_server(url: str, cause: str) -> PlannerError:
    """The error for an address at which nobody listens, or nobody who can be trusted."""
    if "certificate verify failed" in cause.lower():
        return PlannerError(
            f"{url} shows a certificate that is not trusted ({cause}): name its authority's file in SSL_CERT_FILE"
        )
    return PlannerError(
        f"no server answers at {url} ({cause}): start it, for example `vllm serve MODEL`, or check the address"
    )


def _models(http: ServerClient, url: str) -> list[str] | str:
    """Names of the models served; in words, why there is no list."""
    try:
        answer = http.get(f"{url}/models", timeout=CHECK_SECONDS)
    except httpx2.HTTPError as error:
        raise no_server(url, one_line(str(error)) or type(error).__name__) from None
    if answer.status_code in (401, 403):
        raise http.refused(url, answer.status_code)
    if answer.is_redirect:
        return f"it sends us to {answer.headers.get('location')}"
    if answer.status_code in (404, 405, 501):
        return MISSING
    if answer.is_error:
        return f"it answers {answer.status_code}: {one_line(answer.text)}"
    try:
        entries = json.loads(answer.content)
    except (ValueError, RecursionError):
        return f"it answers no JSON but {one_line(answer.text)!r}"
    entries = entries.get("data") if isinstance(entries, dict) else entries
    if not isinstance(entries, list):
        return "its answer has none"
    return [str(entry["id"]) for entry in entries if isinstance(entry, dict) and entry.get("id")]


def _chosen(url: str, model: str, served: list[str]) -> str:
    same = [name for name in served if name in (model, f"{model}:latest")] if model else served
    same = same or [name for name in served if name.endswith(f"/{model}")]
    if len(same) == 1:
        return same[0]
    near = difflib.get_close_matches(model, served, MOST_NAMES, 0.0) if model else served[:MOST_NAMES]
    more = f" and {len(served) - len(near)} more" if len(served) > len(near) else ""
    reason = f"does not serve {model!r}" if model else f"serves {len(served)} models"
    listed = (", ".join(near) + more) or "none"
    raise PlannerError(f"{url} {reason}: write one of those that it serves after the #: {listed}")
