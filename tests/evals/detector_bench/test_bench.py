"""The bench on drawn parts, whose right answer is known, from the command line to its page."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser
from typer.testing import CliRunner

from agent.__main__ import app
from evals.dataset import read_product
from evals.detector_bench.measure import Task, drawn, measure
from evals.detector_bench.report import Report
from evals.example_parts import draw_part
from tools.image import ImageError, save_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Products `bracket` and `<b>bracket`, nine small pictures each, one of them in the folder `uncertain`."""
    root = tmp_path_factory.mktemp("data")
    kinds = [("train/good", "good")] * 4 + [("test/good", "good")] * 2 + [("test/stain", "stain")] * 2
    for name in ("bracket", "<b>bracket"):
        for seed, (place, defect) in enumerate([*kinds, ("test/uncertain", "stain")]):
            part = draw_part("bracket", defect, seed=seed, size=128)
            (root / name / place).mkdir(parents=True, exist_ok=True)
            save_image(root / name / place / f"{seed}.png", part.pixels)
            if place == "test/stain":
                (root / name / "ground_truth/stain").mkdir(parents=True, exist_ok=True)
                save_image(root / name / f"ground_truth/stain/{seed}_mask.png", part.mask * np.uint8(255))
    (root / "notes" / "train" / "good").mkdir(parents=True)
    return root


def task(folder: Path, shots: int | None = None, seeds: int = 1) -> Task:
    return Task("few-shot", "onnx", "cpu", folder, shots, seeds)


def test_stains_are_ranked_above_good_parts_and_found_in_their_place(folder: Path) -> None:
    found = measure(task(folder / "bracket"))
    (figures,) = found.figures
    assert (found.good, found.defective) == (2, 2)
    assert (figures.image_auroc, figures.false_alarms, figures.recall, figures.f1) == (1, 0, 1, 1)
    assert figures.pixel_auroc is not None
    assert figures.aupro is not None
    assert figures.pixel_auroc > 0.95
    assert figures.aupro > 0.8
    assert [case.defective for case in found.worst] == [False, False, True, True]
    assert found.worst[0].score >= found.worst[1].score


def test_parts_on_which_the_experts_disagree_are_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert measure(task(folder / "bracket", 1)).defective == 2
    monkeypatch.setattr("evals.detector_bench.measure.UNSURE", "another name")
    assert measure(task(folder / "bracket", 1)).defective == 3


def test_many_problems_of_one_kind_are_one_line(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "bracket", tmp_path / "bracket")
    shutil.rmtree(tmp_path / "bracket" / "ground_truth")
    (told,) = [line for line in measure(task(tmp_path / "bracket", 1)).problems if "no mask" in line]
    (known,) = [line for line in measure(task(folder / "bracket", 1)).problems if "no mask" in line]
    assert told.endswith("(and 2 more)")
    assert "more)" not in known  # only the one in `uncertain`


def test_a_seed_draws_the_same_references_every_time_and_all_are_all(folder: Path) -> None:
    product = read_product(folder / "bracket")
    assert drawn(product, 2, 3) == drawn(product, 2, 3)
    assert len({tuple(drawn(product, 2, seed)) for seed in range(8)}) > 2
    assert sorted(drawn(product, None, 1)) == sorted(product.train) == sorted(drawn(product, 99, 1))


def test_means_go_over_products_for_each_seed_and_pooled_shares_over_pictures(folder: Path) -> None:
    report = Report("few-shot", (measure(task(folder / "bracket", 1, 2)), measure(task(folder / "<b>bracket", 1, 2))))
    each = [[figures.image_auroc for figures in one.figures] for one in report.tasks]
    assert report.mean("1", "image_auroc").seeds == tuple(np.mean(each, axis=0))
    recalls = [[figures.recall for figures in one.figures] for one in report.tasks]
    assert report.pooled("1", "recall").seeds == pytest.approx(tuple(np.mean(recalls, axis=0)))


def test_the_command_writes_table_csv_json_and_page(folder: Path, tmp_path: Path, browser: Browser) -> None:
    command = ["detectors", "bench", str(folder), "--shots", "1,all", "--seeds", "2", "--workers", "2"]
    files = ["--csv", str(tmp_path / "b.csv"), "--html", str(tmp_path / "b.html")]
    done = CliRunner().invoke(app, [*command, *files, "--detector", "few-shot", "--detector", "patchcore", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["mean"]["all"]["image_auroc"] == 1
    assert {"1", "all"} == set(found["mean"]) == set(found["products"]["bracket"])
    assert set(found["detectors"]) == {"few-shot", "patchcore"}
    assert len(found["products"]["bracket"]["1"]["image_auroc"]["seeds"]) == 2
    rows = list(csv.DictReader((tmp_path / "b.csv").open()))
    assert len(rows) == 2 * 2 * 2 * 2
    assert {row["product"] for row in rows} == {"bracket", "<b>bracket"}
    page = browser.new_page()
    page.goto((tmp_path / "b.html").as_uri())
    assert page.locator("h2").all_inner_texts() == ["few-shot", "patchcore"]
    assert page.locator("td", has_text="<b>bracket").count() == 4
    assert page.locator("figure img").count() == 2 * 2 * 2 * 4
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")


@pytest.mark.parametrize(
    ("arguments", "cause"), [(["--products", "bolt"], "no product in MVTec layout"), (["--shots", "few"], "not like")]
)
def test_what_cannot_be_measured_is_said(folder: Path, arguments: list[str], cause: str) -> None:
    done = CliRunner().invoke(app, ["detectors", "bench", str(folder), *arguments])
    assert done.exit_code != 0
    assert cause in (str(done.exception) if isinstance(done.exception, ImageError) else done.output)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["detectors", "bench", str(tmp_path)])
    assert isinstance(done.exception, ImageError)


def test_the_detectors_are_listed_with_what_they_need() -> None:
    listed = CliRunner().invoke(app, ["detectors", "list"]).output
    assert "few-shot" in listed
    assert "patchcore" in listed
