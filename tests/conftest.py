"""Where the real pictures are, the browser, and the promise that no test leaves this machine."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REPOSITORY = Path(__file__).parents[1]
DATA = Path(os.environ.get("FLAWLENS_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real inspection pictures (FLAWLENS_DATA); missing data is a failure in CI and a skip elsewhere."""
    if not (DATA / "README.md").exists():
        message = f"no inspection pictures in {DATA}: set FLAWLENS_DATA to the folder that holds cookie/, nasty/, ..."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return DATA


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches any socket but loopback and Unix sockets."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium; none on the PATH is a failure in CI and a skip elsewhere."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium on the PATH: install one to look at pages")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page of Debian's Chromium."""
    opened = browser.new_page()
    yield opened
    opened.close()
