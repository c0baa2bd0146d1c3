"""The results as a table that Excel opens: UTF-8 with its mark, and no cell that could be read as a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from agent.batch.results import Batch, Result
from agent.shown import visible

COLUMNS = (
    "file",
    "result",
    "verdict",
    "confidence",
    "detector",
    "planner",
    "combined",
    "disposition",
    "defects",
    "types",
    "severities",
    "places",
    "boxes",
    "outcome",
    "seconds",
    "run_id",
    "error",
)
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "|", "%")


def render_csv(batch: Batch) -> bytes:
    """The table, a row a picture."""
    written = io.StringIO(newline="")
    rows = csv.writer(written, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    rows.writerows([*map(_cell, _row(result))] for result in batch.results)
    return written.getvalue().encode("utf-8-sig", "backslashreplace")


def _row(result: Result) -> Iterator[object]:
    defects = result.defects
    yield from (result.file, result.state, result.verdict, result.confidence)
    yield from (result.scores.get(name) for name in ("detector", "planner", "fused"))
    yield from (result.disposition, None if result.state == "failed" else len(defects))
    yield from ("; ".join(str(defect[name]) for defect in defects) for name in ("type", "severity", "place"))
    yield "; ".join(" ".join(f"{edge:g}" for edge in defect["box"]) for defect in defects)
    yield from (result.outcome, result.seconds, result.run_id, result.error)


def _cell(value: object) -> object:
    """Numbers as they are; a text that a spreadsheet would calculate begins with an apostrophe."""
    if not isinstance(value, str):
        return value
    text = visible(value).replace("\n", "\\n")
    return f"'{text}" if text.lstrip().startswith(FORMULA) or text.startswith("\t") else text
