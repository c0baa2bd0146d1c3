"""The summary of a folder as one self-contained HTML page: no script, no request, everything escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from agent.batch.results import STATES, Batch, Result
from agent.batch.words import WORDS
from agent.diagnosis import Language
from agent.record import path_text
from agent.report.page import environment
from agent.report.pictures import thumbnail
from agent.report.words import WORDS as REPORT_WORDS

Named = Callable[[str], str]
FIRST = ("failed", "uncertain", "defective", "normal")


def render_summary(batch: Batch, language: Language, about: Mapping[str, str], named: Named) -> str:
    """The page as text; `about` are labels (keys of the words) and what they say of the setup.

    `named` gives the name of a defect in the page's language.
    """
    words, report = WORDS[language], REPORT_WORDS[language]
    counts, inspected = batch.counts, len(batch.results)
    fields = {"inspected": inspected, "pictures": batch.pictures, "count": len(batch.attention)}
    fields |= {"defects": sum(count for _, count, _ in batch.defects), "parts": counts["defective"]}
    told = {key: words[key].format(**fields) for key in ("yield_means", "stopped", "attention", "pareto_means")}
    return (
        environment()
        .get_template("report_folder.html")
        .render(
            language=language,
            words={**words, **told},
            codes=report,
            states=[(state, counts[state], 100 * batch.share(state)) for state in STATES],
            quota=100 * batch.share("normal"),
            inspected=inspected,
            batch=batch,
            named=named,
            pareto=batch.defects,
            most=max((count for _, count, _ in batch.defects), default=1),
            parts=[_part(result) for result in sorted(batch.results, key=lambda one: FIRST.index(one.state))],
            about=[(words[key], text) for key, text in about.items()],
            folder=path_text(batch.folder),
            made=datetime.now(UTC).isoformat(timespec="minutes"),
        )
    )


def _part(result: Result) -> dict[str, Any]:
    """A picture as the page shows it; boxes only where something is defective or suspected."""
    small = thumbnail(result.picture) if result.picture else None
    boxes = [] if result.state == "normal" else [defect["box"] for defect in result.defects]
    return {"result": result, "jpeg": small, "boxes": boxes}
