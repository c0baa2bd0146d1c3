"""From a run on disk to the content of its report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.diagnosis import place_of
from agent.report.content import Action, Applied, Asked, Finding, Flaw, Picture, Report, Size, Source, State
from agent.report.told import Told, Translations
from agent.submission import GENERAL_PRACTICE
from agent.trace import Run, RunError
from knowledge_base.entry import Entry
from tools.image import Box

if TYPE_CHECKING:
    from tools.cases import Case

Record = Mapping[str, Any]
MEASURED_BY = ("measure", "zoom")
SIZES = (("length_mm", "width_mm", "area_mm2"), ("length_px", "width_px", "area_percent"))
REMEDIES = {
    "running": "wait until it has ended",
    "stopped": "go on with `flawlens chat --resume`",
}
_CITED = re.compile(r"\s*\[([^\[\]]+)\]\s*$")


def report_of(run: Run, entries: Sequence[Entry], case: Case | None) -> Report:
    """The report of a finished run; RunError for one without a diagnosis."""
    diagnosis = run.diagnosis
    if diagnosis is None:
        remedy = REMEDIES.get(run.status, "inspect the part again")
        raise RunError(run.folder, f"has no diagnosis to report ({run.status})", remedy)
    return _Builder(run, diagnosis, Translations(entries)).report(case)


class _Builder:
    """Reads one run."""

    def __init__(self, run: Run, diagnosis: Record, translations: Translations) -> None:
        self.run, self.diagnosis, self.translations = run, diagnosis, translations
        self.passages = {str(one["id"]): one for item in diagnosis["evidence"] for one in item["passages"]}
        self.cited = tuple(dict.fromkeys([*diagnosis["repair"]["knowledge"], *self.passages]))
        self.state = _state(diagnosis)

    def report(self, case: Case | None) -> Report:
        told, repair = self.diagnosis, self.diagnosis["repair"]
        actions, prevention = (tuple(map(self.action, repair[name])) for name in ("actions", "prevention"))
        flaws = tuple(self.flaws())
        return Report(
            state=self.state,
            verdict=told["verdict"],
            outcome=told["outcome"],
            confidence=told["confidence"],
            scores=told["scores"],
            disposition=None if self.state == "answered" else repair["disposition"],
            flaws=flaws,
            findings=tuple(
                Finding(item["id"], item["tool"], self.text(item["finding"]), item["above_normal"])
                for item in told["evidence"]
            ),
            limits=tuple(map(self.applied, told.get("criteria", []))),
            actions=actions,
            prevention=prevention,
            sources=tuple(self.sources([*repair["knowledge"], *(one.source for one in (*actions, *prevention))])),
            summary=self.text(told["summary"]),
            against=self.text(told["against"]),
            asked=tuple(self.asked()),
            degraded=tuple(map(self.text, told["degraded"])),
            notes=tuple(map(self.text, told["notes"])),
            part=self.part(flaws),
            heat=self.heat(),
            case=case,
            setup=self.setup(),
            language=self.run.setup.get("procedure", {}).get("language", "en"),
        )

    def text(self, written: str) -> Told:
        return self.translations.text(written, self.cited)

    def flaws(self) -> Iterator[Flaw]:
        for number, defect in enumerate(self.diagnosis["defects"], start=1):
            yield Flaw(
                number=number,
                type=self.translations.defect(defect["type"], self.cited),
                box=tuple(defect["box"]),
                place=Told(defect["place"]),
                middle=place_of(defect["box"]),
                severity=defect["severity"],
                sizes=tuple(self.sizes(Box(*defect["box"]))),
                **{name: self.text(defect[name]) for name in ("appearance", "effect", "cause")},
                evidence=tuple(defect["evidence"]),
            )

    def sizes(self, box: Box) -> list[Size]:
        """The largest measures where the box lies, in millimetres if there are any, of the tool that measures best."""
        for names in SIZES:
            for tool in MEASURED_BY:
                regions = [
                    (item["id"], region["numbers"])
                    for item in self.diagnosis["evidence"]
                    for region in item["regions"]
                    if item["tool"] == tool and names[0] in region["numbers"] and Box(*region["box"]).touches(box)
                ]
                if regions:
                    id_, numbers = max(regions, key=lambda pair: float(pair[1][names[0]]))
                    return [Size(name, float(numbers[name]), id_) for name in names if name in numbers]
        return []

    def applied(self, criterion: Record) -> Applied:
        rule = self.translations.limit(criterion["knowledge"], criterion["limit"])
        values = {name: criterion[name] for name in ("defect", "measured", "evidence", "exceeded")}
        return Applied(**values, text=Told(criterion["limit"]), rule=rule, source=criterion["knowledge"])

    def action(self, written: str) -> Action:
        cited = _CITED.search(written)
        source = cited[1] if cited else GENERAL_PRACTICE
        text = written[: cited.start()] if cited else written
        return Action(self.translations.text(text, (source, *self.cited)), source)

    def sources(self, ids: Sequence[str]) -> Iterator[Source]:
        wanted = dict.fromkeys([*ids, *(one["knowledge"] for one in self.diagnosis.get("criteria", []))])
        for id_ in wanted:
            if id_ != GENERAL_PRACTICE:
                passage = self.passages.get(id_, {})
                title = self.translations.title(str(passage.get("title", id_)), id_)
                yield Source(id_, title, str(passage.get("source", "")))

    def asked(self) -> Iterator[Asked]:
        question, answer = self.run.inspection.get("question"), self.diagnosis.get("answer", "")
        if question or answer:
            yield Asked("operator", Told(question or ""), self.text(answer))
        for one in self.diagnosis.get("exchanges", []):
            yield Asked(one["by"], Told(one["question"]), Told(one["answer"]))

    def image(self) -> Record:
        """What intake says of the part's picture."""
        return self.run.images.get("part", {})

    def picture(self, name: str) -> Path:
        """A picture of the run; no name leads out of its folder."""
        return self.run.folder / "pictures" / Path(name).name

    def part(self, flaws: Sequence[Flaw]) -> Picture | None:
        name = self.image().get("file")
        boxes = () if self.state == "normal" else tuple(flaw.box for flaw in flaws)
        return Picture(self.picture(name), boxes) if name else None

    def heat(self) -> Picture | None:
        """The detector's heat map; a part that is judged normal shows none."""
        maps = [item for item in self.diagnosis["evidence"] if item["tool"] == "anomaly_map" and item["files"]]
        if not maps or self.state == "normal":
            return None
        return Picture(self.picture(maps[0]["files"][0]), evidence=maps[0]["id"])

    def setup(self) -> dict[str, str]:
        run, image = self.run, self.image()
        size = f"{image['width']} x {image['height']} px" if image else ""
        return {
            "run": run.id,
            "started": run.started,
            "planner": run.setup["planner"],
            "detector": run.setup.get("detector") or "",
            "version": run.setup.get("versions", {}).get("flawlens", ""),
            "prompts": run.setup.get("prompts") or "",
            "part": self.diagnosis["image"],
            "product": self.diagnosis["product"] or "",
            "references": str(len(run.inspection["references"])),
            "picture": size,
            "sha256": image.get("sha256", ""),
            "seconds": f"{self.diagnosis['seconds']:.1f}",
        }


def _state(diagnosis: Record) -> State:
    """What a reader has to know first; only a submitted diagnosis can pass a part."""
    outcome = diagnosis["outcome"]
    if outcome == "answered":
        return "answered"
    verdict: State = diagnosis["verdict"]
    return verdict if outcome == "submitted" else "no_answer"
