"""Tool `recall_cases`: what operators said of parts like this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from langchain_core.tools import BaseTool, tool

from tools.album import Album
from tools.cases import Case
from tools.cases.looks import Place, alike, likeness, whole_look
from tools.cases.store import WHOLE, Remembered
from tools.detectors import Pixels
from tools.drawing import at_most
from tools.evidence import Evidence, Region, ToolError
from tools.image import Box
from tools.quoting import harmless

SHOWN = 3
COMPARED = 200  # the newest cases
MOST_MARKS = 40  # that are looked for, of the newest wrong alarms


def make_recall_cases(album: Album, remembered: Callable[[], Sequence[Remembered]]) -> BaseTool:
    """The tool over this run's part; `remembered` reads the cases of its product."""

    @tool(response_format="content_and_artifact")
    def recall_cases() -> tuple[str, Evidence]:
        """Find past inspections of this product that looked most like the part, with what the operator said of them.

        Use it when a region may be one that operators know. An outcome is what a person said of another part: it
        supports a claim about this part and never replaces what the tools measure on it. Regions are places where a
        past wrong alarm is recognised again. Likeness goes from -1 to 1 and ranks only.
        """
        cases = remembered()[:COMPARED]
        if not cases:
            raise ToolError("no past case of this product is remembered")
        part = at_most(album.part)
        values = likeness(whole_look(part), [one.looks[WHOLE] for one in cases])
        ranked = sorted(zip(values, cases, strict=True), key=lambda pair: -pair[0])
        again = _recognised(part, album.references, cases)
        told = [_words(one.case, value) for value, one in ranked[:SHOWN]]
        seen = f" A wrong alarm is recognised again at {len(again)} of its places." if again else ""
        evidence = Evidence(
            tool="recall_cases",
            finding=f"Past cases of the product: {len(cases)}; most alike: {' '.join(told)}{seen}",
            regions=again,
            numbers={"cases": float(len(cases)), "recognised": float(len(again))},
        )
        return evidence.finding, evidence

    return recall_cases


def _recognised(part: Pixels, normals: Sequence[Pixels], cases: Sequence[Remembered]) -> list[Region]:
    """The places where a wrong alarm that may be told from a defect is seen again, with how many cases say so."""
    known = [
        (one.case.id, mark, one.looks[f"mark_{number}"])
        for one in cases
        for number, mark in enumerate(one.case.marks)
        if mark.needed is not None
    ][: MOST_MARKS if normals else 0]
    found: dict[Box, set[str]] = {}
    for id_, mark, look in known:
        if alike(Place(normals, mark.box).deviation(part), look) >= (mark.needed or 1.0):
            same = [box for box in found if box.touches(mark.box)]
            told = {id_}.union(*(found.pop(box) for box in same))
            found[max([mark.box, *same], key=lambda box: box.area)] = told
    return [Region(box=box, score=1.0, numbers={"confirmations": float(len(told))}) for box, told in found.items()]


def _words(case: Case, value: float) -> str:
    said = f"the agent had said {case.said}, the operator said {case.verdict}"
    kind = f" ({harmless(case.type)})" if case.type else ""
    note = f", with the note {harmless(case.note)!r}" if case.note else ""
    return f"[{case.id}] likeness {value:.2f}, {case.outcome}: {said}{kind}{note}."
