"""A live line on stderr: what is being done, and what the planner is just saying."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from agent.shown import visible

if TYPE_CHECKING:
    from types import TracebackType

    from agent.trace import Event

TAIL = 400  # characters of the planner's text that are kept for the line
DOING = {
    "intake": "surveying the part",
    "survey": "planning",
    "act": "planning",
    "remind": "planning",
    "repair": "planning",
    "submit": "weighing the answer",
    "audit": "looking for evidence against the verdict",
    "fuse": "writing the result",
}


class Progress:
    """What is being done, for how many seconds, of which budget, and the planner's last words.

    Silent where the console, stderr by default, is no terminal.
    """

    def __init__(self, console: Console | None = None, turns: int = 0) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._turns, self._turn, self._tokens = turns, 0, 0
        self._spinner = Spinner("dots")
        self._doing = "loading pictures"
        self._said = ""
        self._started = time.monotonic()
        self._live = Live(console=self._console, get_renderable=self._line, transient=True, redirect_stdout=False)

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def watch(self, event: Event) -> None:
        """Show what follows on this event."""
        asked = ", ".join(event.called) if event.node == "plan" else ""
        self._doing = f"step {event.step + 1}: {asked or DOING.get(event.node, event.node)}"
        self._said = ""
        for spent in event.update.get("spent", []):
            self._turn, self._tokens = self._turn + 1, self._tokens + spent["completion_tokens"]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Without the line, while a person is asked."""
        self._live.stop()
        yield
        self._started, self._doing = time.monotonic(), "going on"
        if self._console.is_terminal:
            self._live.start()

    def hear(self, text: str) -> None:
        """Show the end of what the planner says."""
        self._said = (self._said + text)[-TAIL:]

    def _line(self) -> RenderableType:
        budget = f"  turn {self._turn} of {self._turns}" if self._turns and self._turn else ""
        tokens = f"  {self._tokens} tokens" if self._tokens else ""
        head = f"{visible(self._doing)}  {time.monotonic() - self._started:.0f} s{budget}{tokens}"
        room = max(self._console.width - len(head) - 8, 0)
        said = " ".join(visible(self._said).split())
        self._spinner.update(text=Text.assemble(head, ("  " + said[-room:] if said and room else "", "dim")))
        return self._spinner
