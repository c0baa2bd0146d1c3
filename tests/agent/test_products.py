"""Enrolled products as their user meets them: enrol, inspect by name, carry to another computer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.diagnosis import Inspection, Procedure
from agent.inspector import Inspector
from agent.planners import make_planner
from evals.example_parts import draw_part
from tools.image import save_image
from tools.profiles.store import Profiles

Flawlens = Callable[..., subprocess.CompletedProcess[str]]

ENTRIES = Path(__file__).parents[2] / "knowledge_base" / "entries"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def line(home: Path) -> Path:
    for kind, defects in (("good", ["good"] * 5), ("bad", ["scratch", "stain"])):
        (home / kind).mkdir()
        for seed, defect in enumerate(defects, 20 if kind == "bad" else 0):
            save_image(home / kind / f"{seed}.png", draw_part("bracket", defect, seed=seed, size=256).pixels)
    save_image(home / "good_part.png", draw_part("bracket", seed=50, size=256).pixels)
    save_image(home / "scratched.png", draw_part("bracket", "scratch", seed=51, size=256).pixels)
    return home


@pytest.fixture(scope="module")
def flawlens(home: Path) -> Flawlens:
    def call(*arguments: object, at: Path = home) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "agent", *map(str, arguments)]
        environment = {**os.environ, "FLAWLENS_HOME": str(at)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return call


@pytest.fixture(scope="module")
def enrolled(flawlens: Flawlens, line: Path) -> Path:
    entry = line / "bracket_rub.md"
    text = (ENTRIES / "abrasion.md").read_text("utf-8")
    entry.write_text(text.replace("id: abrasion", "id: bracket_rub").replace("products: []", "products: [bracket]"))
    scale = ("--scale", 0.05, "--pose", "fixed")
    command = ("enroll", "bracket", "--normals", line / "good", "--defects", line / "bad", "--knowledge", entry)
    done = flawlens(*command, *scale)
    assert done.returncode == 0, done.stderr
    assert "leave-one-out over 5 references" in " ".join(done.stdout.split())
    return line


def test_an_enrolled_product_is_inspected_by_its_name(flawlens: Flawlens, enrolled: Path) -> None:
    for picture, verdict in (("good_part.png", "normal"), ("scratched.png", "defective")):
        done = flawlens("inspect", enrolled / picture, "--product", "bracket", "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["verdict"] == verdict
        mapped = next(item for item in found["evidence"] if item["tool"] == "anomaly_map")
        assert "leave-one-out over 5 references" in mapped["finding"]
        assert not any("no reference" in reason for reason in found["degraded"])
    assert not (enrolled / "banks").exists()


def test_a_product_is_listed_shown_and_carried_to_another_computer(
    flawlens: Flawlens, enrolled: Path, tmp_path: Path
) -> None:
    (listed,) = json.loads(flawlens("products", "list", "--json").stdout)
    assert (listed["name"], len(listed["normals"]), len(listed["defects"])) == ("bracket", 5, 2)
    assert "0.05 mm per pixel" in flawlens("products", "show", "bracket").stdout
    assert flawlens("products", "export", "bracket", "--out", tmp_path / "carried").returncode == 0
    done = flawlens("products", "import", tmp_path / "carried", at=tmp_path / "other")
    assert done.returncode == 0, done.stderr
    entries = json.loads(flawlens("knowledge", "list", "--json", at=tmp_path / "other").stdout)
    assert "bracket_rub" in {entry["id"] for entry in entries}
    here, there = (
        json.loads(flawlens("inspect", enrolled / "scratched.png", "--product", "bracket", "--json", at=at).stdout)
        for at in (enrolled, tmp_path / "other")
    )
    assert here["scores"] == there["scores"]
    assert flawlens("products", "remove", "bracket", at=tmp_path / "other").returncode == 0
    assert json.loads(flawlens("products", "list", "--json", at=tmp_path / "other").stdout) == []


def test_a_profile_of_another_detector_is_refused_with_the_command_that_rebuilds_it(
    flawlens: Flawlens, enrolled: Path
) -> None:
    done = flawlens("inspect", enrolled / "good_part.png", "--product", "bracket", "--detector", "patchcore")
    assert done.returncode == 2
    assert "flawlens enroll bracket --normals DIR --detector patchcore" in done.stderr
    record = Profiles(enrolled / "products").place("bracket") / "profile.json"
    kept = record.read_text("utf-8")
    try:
        record.write_text(kept.replace("few-shot 2,", "few-shot 0,"), "utf-8")
        done = flawlens("inspect", enrolled / "good_part.png", "--product", "bracket")
    finally:
        record.write_text(kept, "utf-8")
    assert (done.returncode, done.stdout) == (2, "")
    assert "enrolled with few-shot 0" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("enroll", "a/b", "--normals", "{line}/good"), "cannot name a product"),
        (("enroll", "bolt", "--normals", "{line}/empty"), "no readable picture"),
        (("enroll", "bolt", "--normals", "{line}/good", "--detector", "padim"), "no detector"),
        (("enroll", "bolt", "--normals", "{line}/good", "--knowledge", "{line}/good/0.png"), "0.png"),
        (("products", "show", "bolt"), "no such product"),
        (("products", "import", "{line}/good_part.png"), "not an exported product"),
    ],
)
def test_bad_input_is_one_line_and_enrols_nothing(
    flawlens: Flawlens, line: Path, arguments: tuple[str, ...], cause: str
) -> None:
    (line / "empty").mkdir(exist_ok=True)
    done = flawlens(*(argument.format(line=line) for argument in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert cause in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "bolt" not in Profiles(line / "products").names()


def test_known_defects_widen_the_review_band_and_never_narrow_it(enrolled: Path) -> None:
    inspector = Inspector(enrolled, make_planner("rules"), "rules", procedure=Procedure(review=(0.3, 0.7)))
    run = inspector.inspect(Inspection(enrolled / "good_part.png", product="bracket"))
    profile = Profiles(enrolled / "products").get("bracket")
    assert profile.review is not None
    low, high = run.setup["procedure"]["review"]
    assert low == min(0.3, profile.review[0])
    assert high == max(0.7, profile.review[1])
    assert run.setup["procedure"]["detector_weight"] == profile.detector_weight
    assert run.setup["profile"] == profile.created
