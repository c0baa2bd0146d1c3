"""What operators said of past inspections reaches the next one, and hides no defect."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from agent.__main__ import app
from agent.diagnosis import Inspection, Procedure
from agent.feedback import remember
from agent.inspector import Inspector
from agent.planners import make_planner
from agent.trace import Run, RunError
from evals.example_parts import draw_part
from evals.mmad.run import Settings
from tools.cases import Case
from tools.cases.store import Cases
from tools.image import save_image


class Line:
    """An inspector with four good brackets; `inspect` draws a part and inspects it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.references = tuple(folder / f"good{seed}.png" for seed in range(4))
        for seed, path in enumerate(self.references):
            save_image(path, draw_part("bracket", seed=seed, size=256).pixels)
        self.inspector = Inspector(folder / "home", make_planner("rules"), "rules")

    def part(self, defect: str, seed: int, stamp: int | None = None) -> Path:
        pixels = draw_part("bracket", defect, seed=seed, size=256).pixels
        path = self.folder / f"{defect}-{seed}-{stamp}.png"
        save_image(path, pixels if stamp is None else stamped(pixels, stamp))
        return path

    def inspect(self, defect: str, seed: int, stamp: int | None = None, product: str = "bracket") -> Run:
        return self.inspector.inspect(Inspection(self.part(defect, seed, stamp), self.references, product=product))


def stamped(pixels: np.ndarray, seed: int) -> np.ndarray:
    """A supplier's ink stamp, never quite at the same place or of the same colour."""
    random = np.random.default_rng(seed)
    x, y = (int(middle + random.integers(-2, 3)) for middle in (128, 107))
    tone = int(70 + random.integers(-10, 10))
    changed = pixels.copy()
    cv2.rectangle(changed, (x - 12, y - 7), (x + 12, y + 7), (tone, tone, tone + 60), -1)
    cv2.line(changed, (x - 12, y), (x + 12, y), (230, 230, 230), 2)
    return changed


def verdict(run: Run) -> str:
    assert run.diagnosis is not None
    return str(run.diagnosis["verdict"])


def recalled(run: Run) -> list[str]:
    assert run.diagnosis is not None
    return [item["finding"] for item in run.diagnosis["evidence"] if item["tool"] == "recall_cases"]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Line, list[Run], list[Case]]:
    """Two inspections of stamped parts that the operator called good, one after the other."""
    line = Line(tmp_path_factory.mktemp("line"))
    runs, cases = [], []
    for seed in (1, 2):
        runs.append(line.inspect("good", 20 + seed, stamp=seed))
        cases.append(remember(line.inspector.cases, runs[-1], "normal", "", "ink stamp of the supplier"))
    return line, runs, cases


def test_a_wrong_alarm_is_told_to_the_next_like_inspection(told: tuple[Line, list[Run], list[Case]]) -> None:
    _, (first, second), (case, _) = told
    assert (verdict(first), recalled(first)) == ("defective", [])
    assert case.outcome == "wrong alarm"
    assert verdict(second) == "uncertain"
    assert f"[{first.id}]" in recalled(second)[0]
    assert "ink stamp of the supplier" in recalled(second)[0]
    assert second.diagnosis is not None
    assert second.diagnosis["scores"]["detector"] == pytest.approx(0.5)


@pytest.mark.parametrize(("defect", "seed"), [("scratch", 51), ("stain", 52)])
@pytest.mark.parametrize("stamp", [None, 5])
def test_no_defect_is_hidden(
    told: tuple[Line, list[Run], list[Case]], defect: str, seed: int, stamp: int | None
) -> None:
    line, _, _ = told
    run = line.inspect(defect, seed, stamp)
    assert verdict(run) == "defective"
    assert recalled(run)


def test_a_good_part_stays_good_and_another_product_is_told_nothing(told: tuple[Line, list[Run], list[Case]]) -> None:
    line, _, _ = told
    assert verdict(line.inspect("good", 60)) == "normal"
    assert recalled(line.inspect("good", 60, product="plate")) == []


def test_memory_can_be_left_out_and_benchmarks_do_so(told: tuple[Line, list[Run], list[Case]]) -> None:
    line, (first, _), _ = told
    assert Settings().procedure().memory is False
    forgetful = Inspector(line.folder / "home", make_planner("rules"), "rules", procedure=Procedure(memory=False))
    run = forgetful.inspect(Inspection(line.part("good", 21, 1), line.references, product="bracket"))
    assert recalled(run) == []
    assert run.diagnosis is not None
    assert first.diagnosis is not None
    assert run.diagnosis["scores"] == first.diagnosis["scores"]


def test_a_run_without_a_diagnosis_cannot_be_confirmed(told: tuple[Line, list[Run], list[Case]]) -> None:
    line, (first, _), _ = told
    broken = Run(first.id, first.folder, "failed", first.started, first.inspection, first.setup)
    with pytest.raises(RunError, match="has no diagnosis"):
        remember(line.inspector.cases, broken, "normal", "", "")


def test_damaged_cases_are_told_and_left_out(
    told: tuple[Line, list[Run], list[Case]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line, _, cases = told
    copy = Cases(tmp_path)
    for case, remembered in zip(reversed(cases), line.inspector.cases.recall("bracket"), strict=True):
        copy.keep(case, remembered.looks)
    (tmp_path / f"{cases[0].id}.safetensors").write_bytes(b"oops")
    (tmp_path / "x.json").write_text('{"id": "../x"}')
    assert [one.case.id for one in copy.recall("bracket")] == [cases[1].id]
    assert "x.json is no readable case" in caplog.text
    assert copy.forget("../x") is False


def flawlens(home: Path, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["--home", str(home), *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_feedback_and_cases_at_a_terminal(tmp_path: Path) -> None:
    line = Line(tmp_path)
    run, home = line.inspect("scratch", 51), tmp_path / "home"
    said = flawlens(
        home, "feedback", run.id, "--verdict", "defective", "--type", "scratch", "--note", "[bold]deep\x1b[2J"
    )
    assert said.startswith("confirmed: bracket")
    listed = flawlens(home, "cases", "list")
    assert "[bold]deep\\x1b[2J" in listed
    assert "1 case" in listed
    assert json.loads(flawlens(home, "cases", "list", "--json"))[0]["outcome"] == "confirmed"
    assert "the agent said defective, the operator defective (scratch)" in flawlens(home, "cases", "show", run.id)
    again = line.inspect("scratch", 53)
    assert "confirmed: the agent had said defective, the operator said defective (scratch)" in recalled(again)[0]
    flawlens(home, "feedback", run.id, "--verdict", "normal")
    assert json.loads(flawlens(home, "cases", "list", "--json"))[0]["outcome"] == "wrong alarm"
    assert flawlens(home, "cases", "forget", run.id) == f"forgot {run.id}\n"
    assert recalled(line.inspect("scratch", 53)) == []
    assert CliRunner().invoke(app, ["--home", str(home), "cases", "show", run.id]).exit_code == 2
