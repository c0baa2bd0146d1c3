"""A progress bar on stderr: the picture, what was found so far, and the time left; silent without a terminal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agent.batch.results import STATES, Result
from agent.record import path_text
from agent.shown import one_line, visible

LONGEST = 28  # letters of a file name


class FolderProgress:
    """Follows a folder of `pictures`."""

    def __init__(self, pictures: int) -> None:
        console = Console(stderr=True, highlight=False)
        self._counts: Counter[str] = Counter()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[counts]}", markup=False),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
            redirect_stdout=False,
        )
        self._task = self._bar.add_task("", total=pictures, counts="")

    def __enter__(self) -> FolderProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, path: Path) -> None:
        """Show which picture is inspected."""
        name = one_line(visible(path_text(Path(path.name))))
        self._bar.update(self._task, description=name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…")

    def done(self, result: Result) -> None:
        """Count a result."""
        self._counts[result.state] += 1
        counts = ", ".join(f"{self._counts[state]} {state}" for state in STATES if self._counts[state])
        self._bar.update(self._task, advance=1, counts=counts)
