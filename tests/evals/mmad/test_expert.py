"""The ground-truth expert: it tells where, and not whether; the leaking one is labelled so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.__main__ import app
from agent.diagnosis import Diagnosis
from agent.trace import read_run
from evals.dataset import load_mask
from evals.mmad.answers import AnsweredImage, AnswerLog
from evals.mmad.data import MmadImage, read_mmad
from evals.mmad.expert import BORROWED, EMPTY, GT, LEAKING, shown_on, with_marks
from evals.mmad.run import Asker, Settings
from tests.evals.mmad.test_run import letters, run
from tools.evidence import Evidence
from tools.image import load_image, save_image

PRODUCTS = ("magnetic_tile", "mvtec_screw")
WHERE = "Defect Localization"


@pytest.fixture(scope="module")
def images(data: Path) -> tuple[MmadImage, ...]:
    return read_mmad(data.parent, data / "mmad" / "mmad_style_shared_images.json").images


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("expert")


def some(images: tuple[MmadImage, ...], product: str, anomalous: bool, count: int = 3) -> list[MmadImage]:
    found = [image for image in images if image.product == product and image.anomalous == anomalous]
    return found[:: len(found) // count][:count]


def asked(images: list[MmadImage], among: tuple[MmadImage, ...], detector: str, home: Path) -> list[AnsweredImage]:
    asker = Asker(Settings(detector=detector), home, None)
    return [asker.ask(image) for image in with_marks(images, among, detector)]


def diagnosis_of(answered: AnsweredImage, home: Path) -> Diagnosis:
    return Diagnosis.model_validate(read_run(home / "runs", answered.runs[0]).diagnosis)


def map_of(answered: AnsweredImage, home: Path) -> Evidence:
    return next(item for item in diagnosis_of(answered, home).evidence if item.tool == "anomaly_map")


def beside_the_place(found: Evidence) -> tuple[object, ...]:
    """All that the evidence says, without where the mark lies and how large it is."""
    numbers = {name: value for name, value in found.numbers.items() if not name.startswith("hottest_")}
    finding = re.sub(r"^[1-9]\d* marked places?: (box \[[\d, ]+\], [\d.]+ % of the picture[;.] )+", "", found.finding)
    keys = {tuple(region.numbers) for region in found.regions}
    return found.above_normal, tuple(found.numbers), tuple(numbers.items()), finding, frozenset(keys), len(found.files)


@pytest.fixture(scope="module")
def both(images: tuple[MmadImage, ...], home: Path) -> dict[str, list[AnsweredImage]]:
    chosen = [
        replace(image, random_templates=some(images, product, True)[0].random_templates)
        for product in PRODUCTS
        for anomalous in (True, False)
        for image in some(images, product, anomalous)
    ]
    return {detector: asked(chosen, images, detector, home) for detector in (GT, LEAKING)}


def told(answers: list[AnsweredImage], product: str, anomalous: bool, home: Path) -> set[tuple[object, ...]]:
    chosen = [one for one in answers if one.product == product and one.anomalous == anomalous]
    assert len(chosen) == 3
    return {beside_the_place(map_of(one, home)) for one in chosen}


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_mark_does_not_tell_good_parts_from_defective_ones(
    both: dict[str, list[AnsweredImage]], home: Path, product: str
) -> None:
    good, defective = (told(both[GT], product, anomalous, home) for anomalous in (False, True))
    assert good == defective
    assert len(good) == 1
    assert "does not say whether it is a defect" in next(iter(good))[3]  # type: ignore[operator]
    assert told(both[LEAKING], product, False, home) != told(both[LEAKING], product, True, home)


def test_the_fused_score_is_the_planners_alone(both: dict[str, list[AnsweredImage]], home: Path) -> None:
    scores = [diagnosis_of(one, home).scores for one in both[GT]]
    assert {one.detector for one in scores} == {0.5}
    assert [one.fused for one in scores] == pytest.approx([one.planner for one in scores])


def test_every_defective_part_shows_its_own_mask_also_where_all_have_one_template(
    both: dict[str, list[AnsweredImage]], images: tuple[MmadImage, ...], home: Path
) -> None:
    by_key = {image.key: image for image in images}
    for one in (one for one in both[GT] if one.anomalous):
        image = by_key[one.key]
        assert image.mask is not None
        height, width = load_image(image.path).pixels.shape[:2]
        mask = load_mask(image.mask, height=height, width=width).pixels
        boxes = np.zeros(mask.shape, np.bool_)
        for place in map_of(one, home).regions:
            x0, y0, x1, y1 = place.box.pixels(height=height, width=width)
            assert mask[y0:y1, x0:x1].any()
            boxes[y0:y1, x0:x1] = True
        assert (mask & boxes).sum() > 0.9 * mask.sum()
    assert not list((home / "banks").glob("*"))


def test_the_leaking_expert_marks_no_good_part_and_scores_so(both: dict[str, list[AnsweredImage]], home: Path) -> None:
    for one in both[LEAKING]:
        found = map_of(one, home)
        assert bool(found.regions) == found.above_normal == one.anomalous
        assert (float(found.numbers["probability"]) > 0.5) == one.anomalous


def test_no_trace_names_a_mask(both: dict[str, list[AnsweredImage]], home: Path) -> None:
    traces = [path for path in (home / "runs").rglob("*") if path.suffix in (".json", ".jsonl")]
    assert len(traces) >= 2 * len(both[GT])
    for path in traces:
        text = path.read_text("utf-8")
        assert "ground_truth" not in text
        assert not re.search(r"_mask\b|mask\.png", text)


def test_places_are_told_better_with_the_expert_than_without_a_map(images: tuple[MmadImage, ...], home: Path) -> None:
    asked_where = [image for image in images if any(question.subtask == WHERE for question in image.questions)]
    only = [
        replace(image, questions=tuple(question for question in image.questions if question.subtask == WHERE))
        for image in asked_where[:: len(asked_where) // 14][:14]
    ]
    right = {
        detector: sum(one.questions[0].letter == one.questions[0].right for one in asked(only, images, detector, home))
        for detector in ("none", GT)
    }
    assert right[GT] >= 11
    assert right[GT] >= right["none"] + 4


def test_a_borrowed_mask_is_of_the_product_not_its_own_and_the_same_in_every_subset(
    images: tuple[MmadImage, ...],
) -> None:
    marked = {image.key: image for image in with_marks(images, images, GT)}
    for image in images:
        products = {mask.parts[mask.parts.index("ground_truth") - 1] for mask in marked[image.key].marks}
        if image.product in ("cookie", "deeppcb", "magnetic_tile", "mvtec_leather", "mvtec_screw"):
            assert products == {image.product}
        else:
            assert products
        assert (image.mask in marked[image.key].marks) == (image.mask is not None)
        assert with_marks([image], images, GT) == [marked[image.key]]


def test_a_borrowed_mask_does_not_depend_on_the_process(data: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from evals.mmad.data import read_mmad;"
        "from evals.mmad.expert import with_marks; images = read_mmad(*map(Path, sys.argv[1:])).images;"
        "print(*[image.marks for image in with_marks(images, images, 'gt')])"
    )
    annotation = data / "mmad" / "mmad_style_shared_images.json"
    said = [
        subprocess.run(
            [sys.executable, "-c", code, str(data.parent), str(annotation)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert said[0].strip()


def drawn(folder: Path, name: str, defect: str, mask: str | None) -> MmadImage:
    path = folder / f"{name}.png"
    save_image(path, np.full((40, 60, 3), 90, np.uint8))
    return MmadImage(f"d/p/{defect}/{name}", "d", "p", defect, path, folder / mask if mask else None, (), (), ())


def test_a_missing_an_empty_and_a_foreign_mask_are_borrowed_for_and_flagged(tmp_path: Path) -> None:
    save_image(tmp_path / "fine.png", np.full((40, 60, 3), 255, np.uint8))
    save_image(tmp_path / "empty.png", np.zeros((40, 60, 3), np.uint8))
    save_image(tmp_path / "turned.png", np.full((60, 40, 3), 255, np.uint8))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    names = ("missing", "empty", "turned", "broken")
    doubtful = [drawn(tmp_path, f"of_{name}", "bad", f"{name}.png") for name in names]
    good, fine = drawn(tmp_path, "good", "good", None), drawn(tmp_path, "whole", "bad", "fine.png")
    everything = [good, fine, *doubtful]
    shown = [shown_on(image, GT) for image in with_marks(everything, everything, GT)]
    assert [one and one.doubts for one in shown] == [(), (), *[(BORROWED,)] * 4]
    assert all(one and one.map.marks.any() for one in shown)
    alone = [shown_on(image, GT) for image in with_marks(doubtful[:2], doubtful[:2], GT)]
    assert [one and one.doubts for one in alone] == [(EMPTY,)] * 2
    leaking = [shown_on(image, LEAKING) for image in with_marks(everything, everything, LEAKING)]
    assert [one and one.doubts for one in leaking] == [(), (), *[(EMPTY,)] * 4]


def test_flags_are_in_the_answers_and_the_report_labels_the_expert(data: Path, tmp_path: Path) -> None:
    for detector, label in ((GT, "ground truth, upper bound"), (LEAKING, "ground truth, leaks the verdict on normals")):
        for out, more in ((tmp_path / detector, ()), (tmp_path / f"{detector}-two", ("--workers", "2"))):
            run(data, out, "--detector", detector, "--sample", "4", "--seed", "5", "--notation", "contour", *more)
        assert letters(tmp_path / detector) == letters(tmp_path / f"{detector}-two")
        answers = AnswerLog(tmp_path / detector).images()
        flagged = {one.product for one in answers if {BORROWED, EMPTY} & {*one.degraded}}
        assert flagged == {one.product for one in answers if one.product == "neu_det"} != set()
        done = CliRunner().invoke(app, ["mmad", "report", str(tmp_path / detector)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        text = (tmp_path / detector / "report.md").read_text("utf-8")
        assert f"- detector: {label}, drawn as contour; " in text
