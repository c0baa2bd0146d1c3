"""The report: figures beside published ones, a page that runs nothing, and traces that open."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page
from typer.testing import CliRunner

from agent.__main__ import app
from evals.mmad.answers import Answered, AnsweredImage, AnswerLog
from evals.mmad.compare import paired
from evals.mmad.report import published_rows
from evals.mmad.run import Settings
from tests.evals.mmad.test_run import run

SCRIPT = "<script>window.ran=1</script><img src=x onerror='window.ran=1'>|$x^2$"


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("runs")
    for name, *more in (("one shot", "--shots", "1"), ("none", "--shots", "0", "--detector", "none")):
        run(data, folder / name, "--sample", "6", "--seed", "2", *more)
    return folder / "one shot", folder / "none"


def test_the_report_stands_beside_published_rows_and_opens_in_a_browser(
    data: Path, runs: tuple[Path, Path], tmp_path: Path, page: Page
) -> None:
    published = data / "mmad" / "published_accuracy"
    out = tmp_path / "report"
    command = ["mmad", "report", *map(str, runs), "--published", str(published), "--out", str(out)]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": 1280, "height": 1400})
    page.goto((out / "report.html").as_uri())
    assert page.locator("tr.mine").count() == 2
    assert page.locator("figure img").count() == 3
    assert all(address.startswith(("file:", "data:")) for address in asked)
    widths = page.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert min(widths) > 200
    assert len(page.screenshot()) > 20_000
    page.locator("td.text a").first.click()
    assert "run.html" in page.url
    assert page.locator("h1").count() == 1
    rows = list(csv.DictReader((out / "report.csv").open(encoding="utf-8")))
    assert [row["run"] for row in rows[:2]] == ["one shot", "none"]
    assert rows[0]["Average"]
    text = (out / "report.md").read_text("utf-8")
    for stated in ("annotation", "reader", "unreadable", "shots", "pixel cap", "subset", "knowledge"):
        assert f"- {stated}: " in text


def test_published_rows_are_read_whole(data: Path) -> None:
    rows = published_rows(data / "mmad" / "published_accuracy")
    assert len(rows) == 22
    assert rows["1_shot_Qwen2.5-VL-7B-Instruct"]["Average"] == pytest.approx(72.1946, abs=1e-4)


def image(number: int, letter: str, reply: str = "") -> AnsweredImage:
    asked = Answered("Any?", {"A": "Yes.", "B": "No."}, "A", "Anomaly Detection", letter, reply)
    return AnsweredImage(f"d/p/bad/{number}.png", "d", "p", True, (asked,))


def test_two_runs_are_compared_on_what_both_answered() -> None:
    first = [image(number, "B") for number in range(20)]
    second = [image(number, "A" if number < 8 else "B") for number in range(4, 24)]
    found = paired(first, second)
    assert found is not None
    assert (found.images, found.only_first, found.only_second) == (16, 0, 4)
    assert found.gain == pytest.approx(100 * 4 / 16 / 2)
    assert found.interval[0] <= found.gain <= found.interval[1]
    assert found.p == pytest.approx(0.125)
    assert paired(first, []) is None


def test_what_models_and_files_say_never_runs(tmp_path: Path, page: Page) -> None:
    log = AnswerLog(tmp_path / "r$1$")
    setup = json.loads(json.dumps({"settings": {**vars(Settings()), "planner": SCRIPT}}))
    annotation = {"file": SCRIPT, "sha256": "0" * 64, "images": 1, "questions": 1, "left_out": 0}
    subset = {"limit": None, "sample": None, "seed": 0, "shard": [1, 1]}
    log.begin({**setup, "annotation": annotation, "subset": subset, "versions": {}}, resume=False)
    bad = replace(image(0, "A"), key=f"d/p/bad/{SCRIPT}")
    asked = replace(bad.questions[0], question=SCRIPT, letter=None, reply=SCRIPT)
    log.append(replace(bad, questions=(asked,)))
    done = CliRunner().invoke(app, ["mmad", "report", str(log.folder)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    page.goto((log.folder / "report.html").as_uri())
    assert page.evaluate("window.ran") is None
    assert SCRIPT.split("|", maxsplit=1)[0] in page.locator("main").inner_text()


def test_a_folder_without_a_run_is_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["mmad", "report", str(tmp_path)])
    assert "holds no run" in str(done.exception)
