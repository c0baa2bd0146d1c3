"""What a report says, in no language yet: codes, numbers, and texts that know their other language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent.diagnosis import Language
from agent.report.told import Told
from knowledge_base.limits import Limit

if TYPE_CHECKING:
    from tools.cases import Case

State = Literal["normal", "defective", "uncertain", "answered", "no_answer"]


@dataclass(frozen=True)
class Picture:
    """A picture of the run with numbered boxes on it, each [x0, y0, x1, y1] in 0-1000; `evidence` shows a heat map."""

    file: Path
    boxes: tuple[tuple[float, ...], ...] = ()
    evidence: str = ""


@dataclass(frozen=True)
class Size:
    """One measurement: its `name` has the unit in it, as in length_mm."""

    name: str
    value: float
    evidence: str


@dataclass(frozen=True)
class Flaw:
    """One defect; `place` is as it was told, `middle` where its box lies in a 3 x 3 grid."""

    number: int
    type: Told
    box: tuple[float, ...]
    place: Told
    middle: str
    severity: str
    sizes: tuple[Size, ...]
    appearance: Told
    effect: Told
    cause: Told
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """One piece of evidence; `above` says how it stands to the normal range, None where there is none."""

    id: str
    tool: str
    text: Told
    above: bool | None


@dataclass(frozen=True)
class Applied:
    """A limit that was applied to a defect; `rule` is the entry's, None where the entry has changed since."""

    defect: int
    text: Told
    rule: Limit | None
    measured: float | None
    evidence: str
    exceeded: bool | None
    source: str


@dataclass(frozen=True)
class Action:
    """Something to do; `source` is the id of a knowledge entry or "general practice"."""

    text: Told
    source: str


@dataclass(frozen=True)
class Source:
    """A cited source of knowledge."""

    id: str
    title: Told
    source: str


@dataclass(frozen=True)
class Asked:
    """A question and its answer; `by` is agent or operator."""

    by: str
    question: Told
    answer: Told


@dataclass(frozen=True)
class Report:
    """One finished inspection. `disposition` is None where nothing was inspected; `case` is the operator's word."""

    state: State
    verdict: str
    outcome: str
    confidence: float
    scores: Mapping[str, float | None]
    disposition: str | None
    flaws: tuple[Flaw, ...]
    findings: tuple[Finding, ...]
    limits: tuple[Applied, ...]
    actions: tuple[Action, ...]
    prevention: tuple[Action, ...]
    sources: tuple[Source, ...]
    summary: Told
    against: Told
    asked: tuple[Asked, ...]
    degraded: tuple[Told, ...]
    notes: tuple[Told, ...]
    part: Picture | None
    heat: Picture | None
    case: Case | None
    setup: Mapping[str, str]
    language: Language

    @property
    def above(self) -> list[str]:
        """Ids of the evidence above the normal range."""
        return [finding.id for finding in self.findings if finding.above]
