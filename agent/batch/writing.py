"""The files of an inspected folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.batch.loop import LEDGER
from agent.batch.page import Named, render_summary
from agent.batch.results import Batch
from agent.batch.table import render_csv
from agent.diagnosis import Language
from agent.trace import RunError
from knowledge_base.files import write_atomically


def write_batch(
    batch: Batch, place: Path, language: Language, about: Mapping[str, str], named: Named
) -> dict[str, Path]:
    """Write table and summary beside the results; the files by their kind. RunError when one cannot be written."""
    summary = render_summary(batch, language, about, named).encode("utf-8", "backslashreplace")
    files = {"table": place / "results.csv", "summary": place / "summary.html"}
    for kind, content in (("table", render_csv(batch)), ("summary", summary)):
        try:
            write_atomically(files[kind], content)
        except OSError as error:
            cause = f"cannot be written ({error.strerror})"
            raise RunError(files[kind], cause, "free some space or choose another folder with --out") from error
    return {"results": place / LEDGER, **files}
