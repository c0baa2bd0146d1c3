"""Limits of entries decide severity and disposition from what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.criteria import judge
from agent.diagnosis import Criterion, Defect, Inspection, Repair, Submission, Verdict
from agent.inspector import Inspector
from agent.planners import make_planner
from agent.terminal import print_diagnosis
from evals.example_parts import draw_part
from knowledge_base.entry import KnowledgeError, read_entry
from tools.evidence import Evidence, Region
from tools.image import Box, save_image

ENTRIES = Path(__file__).parents[2] / "knowledge_base" / "entries"
FACE = {"zone": [0, 0, 500, 1000], "place": "sealing face"}
OVER_5 = {"measure": "length_mm", "over": 5, "severity": "critical", "disposition": "scrap"}


def entry(*limits: dict[str, Any], id_: str = "scratch", **changes: Any) -> dict[str, Any]:
    usual = {"id": id_, "defect": "scratch", "severity": "minor", "disposition": "rework"}
    return {**usual, "limits": list(limits), **changes}


def defect(*, x: float = 100, **changes: Any) -> Defect:
    told = {"place": "left", "appearance": "", "effect": "", "cause": "", "severity": "major", "evidence": ["E1"]}
    return Defect.model_validate({"type": "scratch", "box": [x, 100, x + 100, 200], **told, **changes})


def judged(
    *entries: dict[str, Any],
    numbers: dict[str, float | str] | None = None,
    tool: str = "measure",
    defects: tuple[Defect, ...] = (),
    verdict: Verdict = "defective",
    cited: tuple[str, ...] = (),
) -> tuple[str, str, list[Criterion]]:
    """Disposition, severity of the first defect and criteria."""
    defects = defects or (defect(),)
    region = Region(box=Box(*defects[0].box), score=0.0, numbers=numbers or {})
    evidence = [
        Evidence(id="E1", tool=tool, finding="", regions=[region]),
        Evidence(id="E2", tool="search_knowledge", finding="", passages=list(entries)),
    ]
    repair = Repair(disposition="repair", knowledge=list(cited))
    submission = Submission(verdict=verdict, probability=0.9, defects=list(defects), repair=repair, summary="")
    answer, criteria = judge(submission, verdict, evidence)
    return answer.repair.disposition, answer.defects[0].severity, criteria


@pytest.mark.parametrize(
    ("length", "disposition", "severity", "exceeded"),
    [(5.01, "scrap", "critical", True), (5.0, "rework", "minor", False), (0.2, "rework", "minor", False)],
)
def test_a_limit_has_two_sides(length: float, disposition: str, severity: str, exceeded: bool) -> None:
    found = judged(entry(OVER_5), numbers={"length_mm": length})
    assert found[:2] == (disposition, severity)
    assert found[2] == [
        Criterion(
            defect=1,
            knowledge="scratch",
            limit="length over 5 mm: critical, scrap",
            measured=length,
            evidence="E1",
            exceeded=exceeded,
        )
    ]


def test_a_limit_holds_in_its_zone_only() -> None:
    on_face = entry({**OVER_5, **FACE})
    assert judged(on_face, numbers={"length_mm": 9.0})[0] == "scrap"
    beside = judged(on_face, numbers={"length_mm": 9.0}, defects=(defect(x=800),))
    assert beside == ("repair", "major", [])


def test_what_was_not_measured_puts_the_part_on_hold() -> None:
    disposition, _, (criterion,) = judged(entry(OVER_5), numbers={"length_px": 90.0})
    assert disposition == "hold"
    assert (criterion.exceeded, criterion.measured) == (None, None)


def test_of_several_limits_and_entries_the_strictest_counts_and_all_are_shown() -> None:
    mild = entry({"measure": "length_mm", "over": 2, "disposition": "repair"}, id_="plant_rule", disposition="accept")
    disposition, severity, criteria = judged(entry(OVER_5), mild, numbers={"length_mm": 3.0})
    assert (disposition, severity) == ("repair", "minor")
    assert [(one.knowledge, one.exceeded) for one in criteria] == [("scratch", False), ("plant_rule", True)]


def test_a_mark_within_all_limits_may_be_accepted() -> None:
    assert judged(entry(OVER_5, disposition="accept"), numbers={"length_mm": 1.0})[0] == "accept"


def test_defects_of_a_kind_are_counted() -> None:
    limit = entry({"measure": "count", "over": 2, "disposition": "hold"})
    three = tuple(defect(x=x) for x in (0, 200, 400))
    assert judged(limit, defects=three)[0] == "hold"
    assert judged(limit, defects=three[:2])[0] == "rework"


def test_a_defect_of_another_name_is_judged_by_the_entries_that_are_cited() -> None:
    other = (defect(type="Kratzer"),)
    assert judged(entry(OVER_5), numbers={"length_mm": 9.0}, defects=other)[2] == []
    assert judged(entry(OVER_5), numbers={"length_mm": 9.0}, defects=other, cited=("scratch",))[0] == "scrap"


def test_an_uncertain_part_stays_on_hold() -> None:
    disposition, severity, criteria = judged(entry(OVER_5), numbers={"length_mm": 9.0}, verdict="uncertain")
    assert (disposition, severity, len(criteria)) == ("hold", "critical", 1)


@pytest.mark.parametrize(
    "limit",
    [
        "{measure: length_mm, over: 5}",
        "{measure: weight, over: 5, disposition: scrap}",
        "{measure: count, over: -1, disposition: scrap}",
        "{measure: count, over: .nan, disposition: scrap}",
        "{measure: count, over: 1, disposition: scrap, zone: [500, 0, 100, 1000]}",
        "{measure: count, over: 1, disposition: eat}",
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(limit: str, tmp_path: Path) -> None:
    text = (ENTRIES / "scratch.md").read_text("utf-8")
    path = tmp_path / "scratch.md"
    path.write_text(text.replace("source:", f"limits: [{limit}]\nsource:", 1), "utf-8")
    with pytest.raises(KnowledgeError, match=r"limits\.0"):
        read_entry(path)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    for seed in range(3):
        save_image(folder / f"good-{seed}.png", draw_part("bracket", seed=seed, size=256).pixels)
    save_image(folder / "scratched.png", draw_part("bracket", "scratch", seed=51, size=256).pixels)
    return folder


@pytest.mark.parametrize(("over", "disposition", "stands"), [(5, "scrap", "exceeded"), (500, "rework", "within")])
def test_an_inspection_applies_the_limits_of_the_product(
    tmp_path: Path, pictures: Path, over: int, disposition: str, stands: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ENTRIES / "scratch.md").read_text("utf-8").replace("products: []", "products: [bracket]")
    limit = f"limits: [{{measure: length_px, over: {over}, disposition: scrap}}]\nsource:"
    (tmp_path / "entry").mkdir()
    (tmp_path / "entry" / "scratch.md").write_text(text.replace("source:", limit, 1), "utf-8")
    inspector = Inspector(tmp_path / "home", make_planner("rules"), "rules")
    inspector.knowledge.add(tmp_path / "entry")
    references = tuple(pictures / f"good-{seed}.png" for seed in range(3))
    run = inspector.inspect(Inspection(pictures / "scratched.png", references, product="bracket"))
    assert run.diagnosis is not None
    assert run.diagnosis["repair"]["disposition"] == disposition
    (criterion, *_) = run.diagnosis["criteria"]
    assert criterion["knowledge"] == "scratch"
    assert (criterion["measured"] > over) is (stands == "exceeded")
    print_diagnosis(run)
    assert f"length over {over} px: scrap: {stands} at {criterion['measured']:g}" in capsys.readouterr().out
    assert f'"exceeded": {json.dumps(stands == "exceeded")}' in json.dumps(run.diagnosis)
