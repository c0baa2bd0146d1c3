"""A report as JSON for other programs. Format `flawlens-report-1`: keys are never renamed, new ones may be added.

    format, language, run_id, started, seconds, flawlens, planner, detector, prompts
    image, product, picture {width x height as text, sha256}
    state            normal, defective, uncertain, answered (not inspected), no_answer
    verdict, outcome, confidence, scores {detector, planner, fused}   as in the diagnosis
    passed           true only for a submitted diagnosis of a normal part
    disposition      accept, rework, repair, scrap, hold; null where nothing was inspected
    defects          [{number, type, type_written, box, place, severity, sizes, appearance, effect, cause, evidence}]
    evidence         [{id, tool, finding, above_normal}]
    limits           [{defect, limit, measured, exceeded, evidence, source}]
    actions, prevention   [{text, source}], source is a knowledge id or "general practice"
    sources          [{id, title, source}]
    summary, against, degraded [text], notes [text], questions [{by, question, answer}]
    pictures         {part, heat_map}: files in the run's folder, or null
    operator         {verdict, outcome, type, note, at} or null
    untranslated     true where a text stands in another language than asked for

Codes are the same in every language; texts are in `language` where a knowledge entry says them in it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agent.diagnosis import Language
from agent.report.content import Action, Flaw, Picture, Report
from agent.report.told import Told

FORMAT = "flawlens-report-1"


def render_json(report: Report, language: Language) -> str:
    """The report as JSON text."""
    return json.dumps(_Record(report, language).all(), ensure_ascii=False, indent=2) + "\n"


class _Record:
    """Writes one report in one language."""

    def __init__(self, report: Report, language: Language) -> None:
        self.report, self.language, self.untranslated = report, language, False

    def all(self) -> dict[str, Any]:
        told = {"format": FORMAT, "language": self.language, **self.about(), **self.diagnosed(), **self.words()}
        return {**told, "untranslated": self.untranslated}

    def said(self, told: Told) -> str:
        self.untranslated = self.untranslated or told.foreign(self.language)
        return told.said(self.language)

    def about(self) -> dict[str, Any]:
        setup = self.report.setup
        return {
            "run_id": setup["run"],
            "started": setup["started"],
            "seconds": float(setup["seconds"]),
            "flawlens": setup["version"],
            **{name: setup[name] for name in ("planner", "detector", "prompts")},
            "image": setup["part"],
            "product": setup["product"] or None,
            "references": int(setup["references"]),
            "picture": {"size": setup["picture"], "sha256": setup["sha256"]},
            "pictures": {"part": _file(self.report.part), "heat_map": _file(self.report.heat)},
        }

    def diagnosed(self) -> dict[str, Any]:
        report = self.report
        return {
            **{name: getattr(report, name) for name in ("state", "verdict", "outcome", "confidence", "disposition")},
            "scores": dict(report.scores),
            "passed": report.state == "normal",
            "defects": [self.defect(flaw) for flaw in report.flaws],
            "evidence": [
                {"id": one.id, "tool": one.tool, "finding": self.said(one.text), "above_normal": one.above}
                for one in report.findings
            ],
            "limits": [
                {
                    "limit": self.said(one.text),
                    **{name: getattr(one, name) for name in ("defect", "measured", "exceeded", "evidence", "source")},
                }
                for one in report.limits
            ],
            "actions": self.actions(report.actions),
            "prevention": self.actions(report.prevention),
            "sources": [{"id": one.id, "title": self.said(one.title), "source": one.source} for one in report.sources],
        }

    def words(self) -> dict[str, Any]:
        report, case = self.report, self.report.case
        kept = ("verdict", "outcome", "type", "note", "at")
        return {
            "summary": self.said(report.summary),
            "against": self.said(report.against),
            "degraded": [self.said(text) for text in report.degraded],
            "notes": [self.said(text) for text in report.notes],
            "questions": [
                {"by": one.by, "question": self.said(one.question), "answer": self.said(one.answer)}
                for one in report.asked
            ],
            "operator": {name: getattr(case, name) for name in kept} if case else None,
        }

    def defect(self, flaw: Flaw) -> dict[str, Any]:
        return {
            "number": flaw.number,
            "type": self.said(flaw.type),
            "type_written": flaw.type.written,
            "box": list(flaw.box),
            "place": self.said(flaw.place),
            "middle": flaw.middle,
            "severity": flaw.severity,
            "sizes": [{"measure": size.name, "value": size.value, "evidence": size.evidence} for size in flaw.sizes],
            **{name: self.said(getattr(flaw, name)) for name in ("appearance", "effect", "cause")},
            "evidence": list(flaw.evidence),
        }

    def actions(self, actions: Sequence[Action]) -> list[dict[str, str]]:
        return [{"text": self.said(action.text), "source": action.source} for action in actions]


def _file(picture: Picture | None) -> str | None:
    return f"pictures/{picture.file.name}" if picture else None
