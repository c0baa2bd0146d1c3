"""An operator's word on a run becomes a case that later inspections of the product recall."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from agent.planners.rules_answer import MAPS
from agent.trace import Run, RunError
from tools.cases import LONGEST_NOTE, LONGEST_TYPE, Case, Mark, Word
from tools.cases.looks import Place, whole_look
from tools.cases.store import WHOLE, Cases
from tools.detectors import Floats, Pixels
from tools.evidence import Evidence
from tools.image import load_image


def remember(cases: Cases, run: Run, verdict: Word, type_: str, note: str) -> Case:
    """Keeps the operator's word on a finished run; RunError for one without a diagnosis, ImageError for lost pictures.

    The marks of a wrong alarm are compared with the good parts of the run: only a mark that no defect pasted on them
    passes for is recognised in later inspections. What is too long of `type_` and `note` is cut.
    """
    if run.diagnosis is None or run.diagnosis["outcome"] != "submitted":
        raise RunError(run.folder, "has no diagnosis to confirm or correct", "inspect the part again")
    part, normals = _pictures(run)
    evidence = [Evidence(**item) for item in run.diagnosis["evidence"]]
    looks: dict[str, Floats] = {WHOLE: whole_look(part)}
    marks = []
    for number, mark in enumerate(_marks(evidence)):
        if verdict == "normal" and normals:
            place = Place(normals, mark.box)
            looks[f"mark_{number}"] = place.deviation(part)
            mark = mark.model_copy(update={"needed": place.needed(looks[f"mark_{number}"])})  # noqa: PLW2901
        marks.append(mark)
    case = Case(
        id=run.id,
        product=run.inspection["product"],
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        verdict=verdict,
        said=run.diagnosis["verdict"],
        type=type_[:LONGEST_TYPE],
        note=note[:LONGEST_NOTE],
        summary=run.diagnosis["summary"],
        findings=tuple(f"{item.id} {item.finding}" for item in evidence if item.tool != "recall_cases"),
        marks=tuple(marks),
    )
    cases.keep(case, looks)
    return case


def _marks(evidence: Sequence[Evidence]) -> list[Mark]:
    """The regions beyond the normal range, of the map and of the comparison."""
    found = [region for item in evidence if item.tool in MAPS and item.above_normal for region in item.regions]
    return [Mark(box=region.box, score=region.score) for region in found]


def _pictures(run: Run) -> tuple[Pixels, list[Pixels]]:
    """The part and the good parts as the run keeps them."""
    kept = {name: _load(run.folder / "pictures" / image["file"]) for name, image in run.images.items()}
    return kept.pop("part"), list(kept.values())


def _load(path: Path) -> Pixels:
    return load_image(path).pixels
