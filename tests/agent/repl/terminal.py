"""A program in a pseudo-terminal, and the screen that a person would see."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pexpect
import pyte

ROWS, COLUMNS = 50, 110
CURSOR = b"\x1b[6n"  # where is the cursor?


class Terminal:
    """Runs `flawlens` with arguments; `screen` is what stands in its window."""

    def __init__(self, *arguments: str, cwd: Path | None = None) -> None:
        self.window = pyte.Screen(COLUMNS, ROWS)
        self._bytes = pyte.ByteStream(self.window)
        here = Path(__file__).parents[3]
        # a worker of pytest-xdist has a size of its own in the environment, which would count more than the window's
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        environment = {**kept, "PYTHONPATH": str(here), "TERM": "xterm-256color", "OMP_NUM_THREADS": "1"}
        command = ["-m", "agent", *arguments]
        self.program = pexpect.spawn(
            sys.executable, command, dimensions=(ROWS, COLUMNS), env=environment, cwd=cwd or here
        )

    @property
    def screen(self) -> str:
        """What stands in the window; a line that runs over its edge is one line."""
        lines = (line if line[-1] != " " else f"{line.rstrip()}\n" for line in self.window.display)
        return "".join(lines).rstrip()

    def wait_for(self, words: str, seconds: float = 90) -> None:
        """Reads until the words stand on the screen."""
        end = time.monotonic() + seconds
        while words not in self.screen:
            assert time.monotonic() < end, f"{words!r} did not appear:\n{self.screen}"
            self._read()

    def settle(self) -> str:
        """The screen when nothing more comes for a moment."""
        while self._read():
            pass
        return self.screen

    def type(self, line: str) -> None:
        """Types a line on a clear window, so that what is waited for is new."""
        self.settle()
        self.window.reset()
        self.program.send(line + "\r")

    def interrupt(self) -> None:
        self.program.send("\x03")

    def kill(self) -> None:
        self.program.kill(signal.SIGKILL)
        self.program.wait()

    def leave(self) -> str:
        """Presses Ctrl-D; the last screen."""
        self.settle()
        self.program.send("\x04")
        while self.program.isalive() or self._read():
            self._read()
        return self.screen

    def _read(self) -> bool:
        try:
            data = self.program.read_nonblocking(65_536, timeout=0.4)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return False
        self._bytes.feed(data)
        if CURSOR in data:  # a terminal answers
            self.program.send(f"\x1b[{self.window.cursor.y + 1};{self.window.cursor.x + 1}R")
        return True
