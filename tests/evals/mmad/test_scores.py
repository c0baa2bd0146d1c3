"""Scores as published, without the faults: nothing leaves a denominator."""

from __future__ import annotations

import csv
import io
import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from evals.mmad.answers import Answered, AnsweredImage
from evals.mmad.data import DETECTION, SUBTASKS, read_mmad
from evals.mmad.published import accuracy_csv, answers_json
from evals.mmad.scores import AVERAGE, mark, score, table

OPTIONS = {"A": "Yes.", "B": "No.", "C": "Perhaps.", "D": "Never."}


def question(subtask: str, right: str, letter: str | None, reply: str = "") -> Answered:
    return Answered("?", OPTIONS, right, subtask, letter, reply)


def image(key: str, *questions: Answered, **told: Any) -> AnsweredImage:
    dataset, product, *_, folder, _ = key.split("/")
    return AnsweredImage(key, dataset, product, folder != "good", questions, **told)


def drawn_images(seed: int) -> list[AnsweredImage]:
    rng = random.Random(seed)
    found = []
    for number in range(rng.randint(8, 40)):
        dataset = rng.choice(["DS-MVTec", "VisA", "GoodsAD"])
        folder = rng.choice(["good", "goodish", "broken"])
        asked = [question(subtask, rng.choice("ABCD"), rng.choice("ABCD")) for subtask in SUBTASKS]
        found.append(image(f"{dataset}/thing/test/{folder}/{number}.png", *asked))
    return found


def as_published(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """The procedure of the benchmark's summary from its description, on the rows of an answers file."""
    cells: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        dataset, *_, folder, _ = row["image"].split("/")
        right = row["gpt_answer"] == row["correct_answer"]
        task = row["question_type"]
        if task == "Anomaly Detection":
            task = "normal" if folder == "good" else "anomalous"
        cells[dataset][task].append(right)
    found = {}
    for dataset, tasks in cells.items():
        shares = {task: sum(marks) / len(marks) for task, marks in tasks.items()}
        detection = (shares.get("normal", 0) + shares.get("anomalous", 0)) / 2
        values = [100 * detection, *(100 * shares[task] for task in SUBTASKS[1:])]
        found[dataset] = [*values, sum(values) / len(values)]
    found[AVERAGE] = [sum(column) / len(column) for column in zip(*found.values(), strict=True)]
    return found


def test_a_thousand_random_runs_equal_the_published_procedure() -> None:
    for seed in range(1000):
        images = drawn_images(seed)
        wanted = as_published(json.loads(answers_json(images, "strict")))
        _, *rows = csv.reader(io.StringIO(accuracy_csv(table(mark(images)))))
        assert {row[0] for row in rows} == set(wanted)
        for name, *values in rows:
            assert [float(value) for value in values] == pytest.approx(wanted[name], abs=1e-9)


def test_every_real_key_falls_into_its_data_set(data: Path, tmp_path: Path) -> None:
    keys = json.loads((data / "mmad" / "mmad_keys_and_answers_989.json").read_bytes())
    entries = {
        key["image"]: {
            "conversation": [
                {"Question": "?", "Answer": key["correct_answer"], "Options": OPTIONS, "type": key["question_type"]}
            ]
        }
        for key in keys
    }
    (tmp_path / "mmad.json").write_text(json.dumps(entries))
    read = read_mmad(tmp_path).images
    images = [
        AnsweredImage(
            one.key, one.dataset, one.product, one.anomalous, (question(DETECTION, one.questions[0].answer, "A"),)
        )
        for one in read
    ]
    assert len(images) == len({key["image"] for key in keys})
    # the file calls every picture of GoodsAD normal, since "good" is in the name of the data set
    kinds = {key["image"]: key["image"].split("/")[-2] != "good" for key in keys}
    assert {one.key: one.anomalous for one in read} == kinds
    assert all(kinds[key["image"]] == key["anomalous"] for key in keys if not key["image"].startswith("GoodsAD"))
    rows = table(mark(images))
    assert set(rows) == {"DS-MVTec", "MVTec-LOCO", "VisA", "GoodsAD", AVERAGE}
    for dataset in set(rows) - {AVERAGE}:
        shares = [
            [key["correct_answer"] == "A" for key in keys if kinds[key["image"]] is kind and belongs(key, dataset)]
            for kind in (True, False)
        ]
        assert rows[dataset][DETECTION] == pytest.approx(sum(50 * sum(one) / len(one) for one in shares))


def belongs(key: dict[str, Any], dataset: str) -> bool:
    first = key["image"].split("/")[0]
    return ("DS-MVTec" if first == "MVTec-AD" else first) == dataset


def test_unreadable_and_failed_answers_are_wrong_and_stay_in_the_denominator() -> None:
    images = [
        image("DS-MVTec/pill/image/good/0.png", question(DETECTION, "B", None, "I am not sure")),
        image("DS-MVTec/pill/image/good/1.png", question(DETECTION, "B", "B")),
        image("DS-MVTec/pill/image/crack/0.png", question(DETECTION, "A", None), failure="truncated"),
        image("DS-MVTec/pill/image/crack/1.png", question(DETECTION, "A", None, "The answer is A")),
    ]
    found = score(images)
    assert found["average"] == found["subtasks"][DETECTION] == 50
    assert (found["questions"], found["unreadable"], found["failed_images"]) == (4, 2, 1)
    assert found["verdict"]["overkill"] == found["verdict"]["miss"] == 50
    assert found["verdict"]["recall"] == 50


def test_calibration_is_measured_on_the_fused_scores() -> None:
    images = [
        image(f"DS-MVTec/pill/image/{'crack' if bad else 'good'}/{number}.png", score=0.9 if bad else 0.1)
        for number, bad in enumerate([True, False] * 5)
    ]
    verdict = score([image("DS-MVTec/pill/image/good/x.png", question(DETECTION, "B", "B")), *images])["verdict"]
    assert verdict["auroc"] == 100
    assert verdict["ece"] == pytest.approx(10)
    assert verdict["scored_images"] == 10


def test_an_interval_surrounds_its_figure_and_is_the_same_every_time() -> None:
    found = score(drawn_images(3))
    low, high = found["intervals"][AVERAGE]
    assert low < found["average"] < high
    assert score(drawn_images(3)) == found
