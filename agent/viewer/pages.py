"""The viewer's pages as text; everything that is shown is escaped by the templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from agent.page import evidence_of, marks_of, render, render_page
from agent.trace import Run
from agent.viewer.index import PAGE, SORTS, Asked, RunIndex, state_of
from agent.viewer.shelf import picture_of
from tools.cases import Case
from tools.cases.store import Cases

STATES = ("defective", "uncertain", "normal", "answered", "running", "stopped", "killed", "failed", "unreadable")
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Site:
    """Where the pages are, and what they are made from."""

    base: str
    index: RunIndex
    cases: Cases

    def case_of(self, run_id: str) -> Case | None:
        """The operator's word on a run."""
        return self.cases.one(run_id)


@dataclass(frozen=True)
class Served:
    """What a run's page has beside the run itself when it is served."""

    base: str
    newer: str | None
    older: str | None
    case: Case | None
    fault: str = ""

    def picture(self, run: Run, name: str) -> str | None:
        """Address of a picture of the run; None when it is not there."""
        return f"{self.base}/runs/{run.id}/pictures/{name}" if picture_of(run.folder, name) else None


def list_page(site: Site, asked: Asked, beside: Run | None = None) -> str:
    """The list of runs that are asked for; `beside` is one that another is to be chosen for."""
    found = site.index.list(asked)
    pages = max(1, -(-found.total // PAGE))
    if asked.page > pages:
        return list_page(site, replace(asked, page=pages), beside)
    fields = {name: getattr(asked, name) for name in ("state", "product", "planner", "words")}
    query = {"with": beside.id if beside else "", **fields, "sort": asked.sort}
    return render(
        "list.html",
        base=site.base,
        asked=asked,
        rows=found.rows,
        total=found.total,
        pages=pages,
        choices=found.choices,
        states=STATES,
        sorts=list(SORTS),
        words={row["id"]: case for row in found.rows if (case := site.case_of(row["id"]))},
        beside=beside,
        at=lambda **more: f"?{urlencode({name: value for name, value in {**query, **more}.items() if value})}",
    )


def error_page(site: Site, words: str) -> str:
    """What cannot be shown, and why."""
    return render("error.html", base=site.base, words=words)


def run_page(site: Site, run: Run, *, fault: str = "") -> str:
    """One run, with its neighbours and the operator's word."""
    newer, older = site.index.neighbours(run.id)
    return render_page(run, Served(site.base, newer, older, site.case_of(run.id), fault))


def compare_page(site: Site, one: Run, other: Run) -> str:
    """Two runs beside each other, with what differs marked."""
    pair = [_side(site, run) for run in (one, other)]
    return render(
        "compare.html",
        base=site.base,
        pair=pair,
        same_part=_part_hash(one) == _part_hash(other),
        rows=_rows(one, other),
        tools=_by_tool(one, other),
    )


def _side(site: Site, run: Run) -> Record:
    served = Served(site.base, None, None, site.case_of(run.id))
    image = run.images.get("part")
    return {
        "run": run,
        "state": state_of(run),
        "part": served.picture(run, image["file"]) if image else None,
        "marks": list(marks_of(run.diagnosis, evidence_of(run), {})),
        "case": served.case,
        "defects": (run.diagnosis or {}).get("defects", []),
    }


def _part_hash(run: Run) -> str:
    image = run.images.get("part")
    return str(image["sha256"]) if image else run.id


def _rows(one: Run, other: Run) -> list[tuple[str, str, str]]:
    """Facts of both runs, by name."""
    facts = [_facts(run) for run in (one, other)]
    settings = [_settings(run) for run in (one, other)]
    names = [name for name in {**settings[0], **settings[1]} if settings[0].get(name) != settings[1].get(name)]
    return [
        *((name, value, facts[1][name]) for name, value in facts[0].items()),
        *((name, settings[0].get(name, "not told"), settings[1].get(name, "not told")) for name in names),
    ]


def _facts(run: Run) -> dict[str, str]:
    diagnosis = run.diagnosis or {}
    scores, usage = diagnosis.get("scores") or {}, diagnosis.get("usage") or {}
    numbers = {f"{source} score": scores.get(source) for source in ("detector", "planner", "fused")}
    return {
        "verdict": state_of(run),
        **{name: "none" if value is None else f"{value:.3f}" for name, value in numbers.items()},
        "disposition": (diagnosis.get("repair") or {}).get("disposition", "none"),
        "seconds": f"{diagnosis.get('seconds', 0):.1f}",
        "turns": str(usage.get("turns", 0)),
        "tool calls": str(usage.get("tool_calls", 0)),
        "tokens": str(usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)),
        "outcome": diagnosis.get("outcome", run.status),
        "product": run.inspection["product"] or "not named",
        "references": str(len(run.inspection["references"])),
        "planner": run.setup["planner"],
        "detector": str(run.setup.get("detector") or "not told"),
        "prompts": str(run.setup.get("prompts") or "not told"),
    }


def _settings(run: Run) -> dict[str, str]:
    """How a run was set up, flat: settings of the planner, procedure, versions of libraries."""
    groups = [run.setup.get(name) or {} for name in ("settings", "procedure", "versions")]
    return {name.replace("_", " "): str(value) for group in groups for name, value in group.items()}


def _by_tool(one: Run, other: Run) -> Sequence[tuple[str, Sequence[Record], Sequence[Record]]]:
    """Evidence of both runs, by tool, in the order of the calls."""
    found = [evidence_of(run) for run in (one, other)]
    names = list(dict.fromkeys(item["tool"] for side in found for item in side))
    return [
        (name, [item for item in found[0] if item["tool"] == name], [item for item in found[1] if item["tool"] == name])
        for name in names
    ]
