"""Writes the report of a run to a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from agent.diagnosis import Language
from agent.report.content import Report
from agent.report.reading import report_of
from agent.report.sheet import sheet_of
from agent.trace import Run, RunError
from knowledge_base.files import write_atomically
from knowledge_base.store import KnowledgeBase
from tools.cases.store import Cases

Format = Literal["html", "pdf", "md", "json"]


def write_report(run: Run, format_: Format, language: Language | None = None, out: Path | None = None) -> Path:
    """Write the report and return its path; without a language it is in that of the run.

    The home of the run lends its knowledge and the operator's word. RunError when there is no diagnosis or the file
    cannot be written; a reader never sees half a report.
    """
    report = read_report(run)
    path = out or run.folder / f"report.{format_}"
    for name, content in render(report, format_, language or report.language, path.stem).items():
        file = path.with_name(name) if name else path
        try:
            write_atomically(file, content)
        except OSError as error:
            cause = f"cannot be written ({error.strerror})"
            raise RunError(file, cause, "choose another file with --out") from error
    return path


def read_report(run: Run) -> Report:
    """The report of a run, with what its home knows of it."""
    home = run.folder.parents[1]
    return report_of(run, KnowledgeBase(home / "knowledge").list(), Cases(home / "cases").one(run.id))


def render(report: Report, format_: Format, language: Language, stem: str) -> Mapping[str, bytes]:
    """The report under the name "", after the pictures that belong beside it."""
    if format_ == "json":
        from agent.report.record import render_json

        return {"": _bytes(render_json(report, language))}
    sheet = sheet_of(report, language)
    if format_ == "pdf":
        from agent.report.paper import render_pdf

        return {"": render_pdf(sheet)}
    if format_ == "md":
        from agent.report.markdown import render_markdown

        text, pictures = render_markdown(sheet, stem)
        return {**pictures, "": _bytes(text)}
    from agent.report.page import render_html

    return {"": _bytes(render_html(sheet))}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
