"""What a person reads of an inspected folder in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import RenderableType

from agent.batch.results import STATES, Batch
from agent.shown import counted, indented, one_line, rows_of, show, text_of, whole
from agent.terminal import COLOURS


def print_batch(batch: Batch, files: Mapping[str, Path]) -> None:
    """Counts and yield, the types of defects, what a person has to look at, and the files."""
    inspected = len(batch.results)
    stopped = f", stopped after {inspected} of {batch.pictures}" if batch.stopped else ""
    show(
        text_of((f"{counted(inspected, 'picture')} inspected{stopped}", "bold")),
        indented(_counts(batch)),
        text_of(
            f"  yield {100 * batch.share('normal'):.1f} %: normal parts of all inspected pictures;"
            " uncertain and failed ones stay in the denominator"
        ),
        *_section("Defects", [(name, str(count), f"{100 * part:.1f} %") for name, count, part in batch.defects]),
        *_section("Needs a person", [(one.file, one.state, one.reason) for one in batch.attention]),
        "",
        *(whole(f"{name}: {path}") for name, path in files.items()),
    )


def _counts(batch: Batch) -> RenderableType:
    return rows_of(
        [
            ((state, COLOURS.get(state, "magenta")), str(batch.counts[state]), f"{100 * batch.share(state):.1f} %")
            for state in STATES
        ]
    )


def _section(title: str, rows: list[tuple[str, str, str]]) -> list[RenderableType]:
    if not rows:
        return []
    return ["", text_of((title, "bold")), indented(rows_of([tuple(map(one_line, row)) for row in rows]))]
