"""Whole inspections of real pictures: a good and a defective sample of every product."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.diagnosis import Diagnosis, Inspection
from agent.inspector import Inspector
from agent.planners import make_planner
from tools.image import list_images

SAMPLES = [
    ("cookie", "cracked"),
    ("deeppcb", "mixed"),
    ("elpv_mono", "defective"),
    ("magnetic_tile", "break"),
    ("mvtec_leather", "cut"),
    ("mvtec_screw", "thread_side"),
    ("toy_alien", "anomaly"),
]
CLEAR = {"cookie", "mvtec_leather", "toy_alien"}


@pytest.fixture(scope="module")
def inspector(tmp_path_factory: pytest.TempPathFactory) -> Inspector:
    return Inspector(tmp_path_factory.mktemp("home"), make_planner("rules"), "rules")


def inspect(inspector: Inspector, folder: Path, kind: str, shots: int) -> Diagnosis:
    references = tuple(list_images(folder / "train" / "good")[0][:shots]) if shots else ()
    image = list_images(folder / "test" / kind)[0][0]
    run = inspector.inspect(Inspection(image, references, folder.name))
    return Diagnosis.model_validate(run.diagnosis)


@pytest.mark.parametrize(("product", "kind"), SAMPLES)
def test_a_good_and_a_defective_part_get_a_valid_diagnosis(
    data: Path, inspector: Inspector, product: str, kind: str
) -> None:
    good = inspect(inspector, data / product, "good", 4)
    bad = inspect(inspector, data / product, kind, 4)
    assert good.outcome == bad.outcome == "submitted"
    assert good.scores.fused is not None
    if product in CLEAR:
        assert bad.verdict == "defective"
        assert good.verdict != "defective" or product == "cookie"
    assert bad.verdict != "normal" or bad.scores.detector is not None


def test_a_product_is_known_however_it_is_spelled(data: Path, inspector: Inspector) -> None:
    references = tuple(list_images(data / "cookie" / "train" / "good")[0][:1])
    image = list_images(data / "cookie" / "test" / "cracked")[0][0]
    types = {
        name: [defect.type for defect in Diagnosis.model_validate(run.diagnosis).defects]
        for name in ("cookie", "Cookie")
        for run in [inspector.inspect(Inspection(image, references, name))]
    }
    assert types["cookie"] == types["Cookie"] != []
    assert set(types["cookie"]) == {"crack"}


@pytest.mark.parametrize("kind", ["crazing", "patches", "scratches"])
def test_without_any_reference_the_evidence_is_called_weak(data: Path, inspector: Inspector, kind: str) -> None:
    found = inspect(inspector, data / "neu_det", kind, 0)
    assert found.verdict != "normal"
    assert any("no reference" in reason for reason in found.degraded)
    (anomaly_map,) = [item for item in found.evidence if item.tool == "anomaly_map"]
    assert "Weaker evidence" in anomaly_map.finding
