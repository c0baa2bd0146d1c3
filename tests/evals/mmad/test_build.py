"""Building a benchmark from product folders: valid, balanced, and answered by the same commands."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.__main__ import app
from evals.mmad.answers import AnswerLog
from evals.mmad.data import SUBTASKS, read_mmad, validate

PRODUCTS = "cookie,magnetic_tile,mvtec_leather"


def built(data: Path, out: Path, *more: str) -> dict[str, Any]:
    command = [
        "--home",
        str(out / "home"),
        "mmad",
        "build",
        str(data),
        "--products",
        PRODUCTS,
        "--out",
        str(out),
        *more,
    ]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    entries: dict[str, Any] = json.loads((out / "mmad.json").read_bytes())
    return entries


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built")
    built(data, out)
    return out


def test_three_products_give_a_valid_set_of_all_subtasks(data: Path, made: Path) -> None:
    read = read_mmad(data.parent, made / "mmad.json")
    assert not validate(read)
    assert {question.subtask for image in read.images for question in image.questions} == set(SUBTASKS)
    assert {image.product for image in read.images} == set(PRODUCTS.split(","))
    assert all(image.random_templates and image.similar_templates for image in read.images)


def test_every_defect_with_a_mask_is_outlined_and_described(data: Path, made: Path) -> None:
    priors = json.loads((made / "priors.json").read_bytes())
    masked = [key for key, prior in priors.items() if prior["area_percent"] is not None]
    assert len(masked) >= 60
    assert len(list((made / "overlays").rglob("*.png"))) == len(masked)
    assert all(priors[key]["description"].endswith(".") for key in masked)
    assert all(prior["defect"] is None for key, prior in priors.items() if "/good/" in key)


def test_the_right_option_does_not_tell_itself(made: Path) -> None:
    entries = json.loads((made / "mmad.json").read_bytes())
    questions = [question for entry in entries.values() for question in entry["conversation"]]
    for subtask in SUBTASKS:
        asked = [question for question in questions if question["type"] == subtask]
        letters = Counter(question["Answer"] for question in asked)
        assert max(letters.values()) - min(letters.values()) <= max(2, len(asked) // 50), subtask
    detection = [one for one in questions if one["type"] == SUBTASKS[0]]
    for text in ("Yes.", "No."):
        letters = Counter(one["Answer"] for one in detection if one["Options"][one["Answer"]] == text)
        assert abs(letters["A"] - letters["B"]) <= 1
    pairs = [
        (first["Answer"], second["Answer"])
        for entry in entries.values()
        for first, second in [[one for one in entry["conversation"] if one["type"].startswith("Object")]]
    ]
    assert sum(one == other for one, other in pairs) < len(pairs) / 2
    looks = [one for one in questions if one["type"] == "Object Analysis"]
    assert all(len({text.count(";") for text in one["Options"].values()}) == 1 for one in looks)
    for question in questions:
        texts = [text.casefold() for text in question["Options"].values()]
        assert len(set(texts)) == len(texts)


def test_a_seed_writes_the_same_set_again_and_another_one_another(data: Path, made: Path, tmp_path: Path) -> None:
    first = json.loads((made / "mmad.json").read_bytes())
    assert built(data, tmp_path / "same") == first
    assert built(data, tmp_path / "other", "--seed", "1") != first


def test_the_set_is_run_and_scored(data: Path, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    where = ["--data", str(data.parent), "--annotation", str(made / "mmad.json")]
    done = CliRunner().invoke(app, ["mmad", "run", *where, "--out", str(out), "--sample", "4"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert len(AnswerLog(out).images()) == 4
    scored = CliRunner().invoke(app, ["mmad", "score", str(out), "--json"], catch_exceptions=False)
    assert 0 <= json.loads(scored.output)["average"] <= 100
