"""An HTTP transport that ends a whole answer in time: httpx's own limits start anew with every byte that arrives."""

from __future__ import annotations

import math
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import httpcore2
import httpx2

_until: ContextVar[float] = ContextVar("until", default=math.inf)
KEPT_SECONDS = 5.0  # an idle connection
PIECE = 1 << 16  # bytes written under one limit


class DeadlineTransport(httpx2.HTTPTransport):
    """Sends requests; the read timeout of a request is the time for all of it, connecting to the last byte.

    When it is over, `httpx2.TimeoutException` is raised wherever the request stands. Proxies are not used.
    """

    def __init__(self) -> None:
        super().__init__(verify=_certificates())
        # HTTPTransport takes no backend, which alone sees every single read.
        self._pool = httpcore2.ConnectionPool(
            _certificates(), max_connections=None, keepalive_expiry=KEPT_SECONDS, network_backend=_Backend()
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response; its body is read under what is left of the time."""
        seconds = request.extensions.get("timeout", {}).get("read")
        until = math.inf if seconds is None else time.monotonic() + seconds
        with _ending(until):
            response = super().handle_request(request)
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Body(response.stream, until)
        return response


class _Body(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, until: float) -> None:
        self._stream, self._end = stream, until

    def __iter__(self) -> Iterator[bytes]:
        chunks = iter(self._stream)
        while True:
            with _ending(self._end):
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk

    def close(self) -> None:
        self._stream.close()


class _Backend(httpcore2.SyncBackend):
    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *arguments: Any, **options: Any
    ) -> httpcore2.NetworkStream:
        return _Stream(super().connect_tcp(host, port, _left(timeout), *arguments, **options))


class _Stream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), PIECE):
            self._stream.write(buffer[start : start + PIECE], _left(timeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()


@cache
def _certificates() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


@contextmanager
def _ending(until: float) -> Iterator[None]:
    token = _until.set(until)
    try:
        yield
    finally:
        _until.reset(token)


def _left(timeout: float | None) -> float:
    left = _until.get() - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout("the time for the whole answer is over")
    return min(left, math.inf if timeout is None else timeout, threading.TIMEOUT_MAX)
