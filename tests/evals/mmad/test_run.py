"""A run of the benchmark: whatever happens on the way, the answers are the same."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.__main__ import app
from evals.mmad.answers import ANSWERS, AnswerLog
from evals.mmad.data import read_mmad
from evals.mmad.run import Subset

SAMPLE = ["--sample", "8", "--seed", "4"]


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    annotation = data / "mmad" / "mmad_style_shared_images.json"
    return ["mmad", "run", "--data", str(data.parent), "--annotation", str(annotation), "--out", str(out), *more]


def run(data: Path, out: Path, *more: str) -> None:
    done = CliRunner().invoke(app, arguments(data, out, *more), catch_exceptions=False)
    assert done.exit_code == 0, done.output


def letters(out: Path) -> dict[str, list[str | None]]:
    return {image.key: [one.letter for one in image.questions] for image in AnswerLog(out).images()}


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mmad") / "whole"
    run(data, out, *SAMPLE)
    return out


def test_every_question_of_the_sample_is_answered_and_scored(data: Path, whole: Path) -> None:
    annotation = data / "mmad" / "mmad_style_shared_images.json"
    chosen = Subset(sample=8, seed=4).of(read_mmad(data.parent, annotation).images)
    assert set(letters(whole)) == {image.key for image in chosen}
    done = CliRunner().invoke(app, ["mmad", "score", str(whole), "--json"], catch_exceptions=False)
    found = json.loads(done.output)
    assert found["questions"] == sum(len(image.questions) for image in chosen)
    assert found["setup"]["settings"]["planner"] == "rules"
    rows = json.loads((whole / "answers_1_shot_rules.json").read_bytes())
    assert len(rows) == found["questions"]
    assert set(found["subtasks"]) == {row["question_type"] for row in rows}


def test_several_workers_skip_and_repeat_nothing(data: Path, whole: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "two", *SAMPLE, "--workers", "2")
    assert letters(tmp_path / "two") == letters(whole)
    assert len((tmp_path / "two" / ANSWERS).read_text("utf-8").splitlines()) == 8


def test_shards_together_are_the_whole(data: Path, whole: Path, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        run(data, tmp_path / str(number), *SAMPLE, "--shard", f"{number}/3")
    parts = [letters(tmp_path / str(number)) for number in (1, 2, 3)]
    assert sum(map(len, parts)) == 8
    assert parts[0] | parts[1] | parts[2] == letters(whole)


def test_a_run_killed_three_times_ends_with_the_same_answers(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "agent", *arguments(data, out, *SAMPLE)]
    rng = random.Random(1)
    more: list[str] = []
    for least in (1, 3, 5):
        process = subprocess.Popen([*command, *more], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while count(out) < least and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(rng.random() * 0.5)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        more = ["--resume"]
    with (out / ANSWERS).open("ab") as file:
        file.write(b'{"key": "data/cut')  # as a kill in the middle of a line leaves it
    run(data, out, *SAMPLE, "--resume")
    assert letters(out) == letters(whole)
    assert len((out / ANSWERS).read_bytes().splitlines()) == 8


def count(out: Path) -> int:
    return (out / ANSWERS).read_bytes().count(b"\n") if (out / ANSWERS).exists() else 0


def test_a_folder_with_a_run_is_neither_overwritten_nor_mixed(data: Path, whole: Path) -> None:
    again = CliRunner().invoke(app, arguments(data, whole, *SAMPLE))
    other = CliRunner().invoke(app, arguments(data, whole, *SAMPLE, "--shots", "0", "--resume"))
    assert "--resume" in str(again.exception)
    assert "settings" in str(other.exception)


def test_answers_do_not_depend_on_names_of_files_and_folders(data: Path, whole: Path, tmp_path: Path) -> None:
    annotation = json.loads((data / "mmad" / "mmad_style_shared_images.json").read_bytes())
    entries: dict[str, Any] = {}
    renamed: dict[str, str] = {}
    for number, key in enumerate(letters(whole)):
        entry = annotation[key]
        first = entry.get("random_templates", [])[:1]
        templates = [copied(data.parent / one, tmp_path / f"t/{number}/template") for one in first]
        path = copied(data.parent / key, tmp_path / f"x/y/z/{number}")
        renamed[str(path.relative_to(tmp_path))] = key
        names = [str(one.relative_to(tmp_path)) for one in templates]
        entries[str(path.relative_to(tmp_path))] = {"conversation": entry["conversation"], "random_templates": names}
    (tmp_path / "mmad.json").write_text(json.dumps(entries))
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["mmad", "run", "--data", str(tmp_path), "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0
    assert {renamed[key]: said for key, said in letters(out).items()} == letters(whole)


def copied(source: Path, target: Path) -> Path:
    target = target.with_suffix(source.suffix)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    return target


def test_a_broken_picture_and_a_missing_template_are_counted(data: Path, tmp_path: Path) -> None:
    picture = next((data / "toy_alien" / "test" / "good").iterdir())
    key = copied(picture, tmp_path / "d/p/good/whole").relative_to(tmp_path)
    (tmp_path / "d/p/good/broken.png").write_bytes(b"no picture")
    asked = {
        "Question": "Any defect?",
        "Answer": "B",
        "Options": {"A": "Yes.", "B": "No."},
        "type": "Anomaly Detection",
    }
    entry = {"conversation": [asked], "random_templates": ["d/p/train/gone.png"]}
    (tmp_path / "mmad.json").write_text(json.dumps({str(key): entry, "d/p/good/broken.png": entry}))
    out = tmp_path / "out"
    CliRunner().invoke(app, ["mmad", "run", "--data", str(tmp_path), "--out", str(out)], catch_exceptions=False)
    broken, fine = AnswerLog(out).images()
    assert "broken.png" in broken.failure
    assert broken.questions[0].letter is None
    assert fine.zero_shot
    assert not fine.failure


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_planner_that_cannot_be_had_is_one_line_and_leaves_the_folder_free(
    data: Path, tmp_path: Path, workers: str
) -> None:
    more = [*SAMPLE, "--limit", "1", "--workers", workers]
    for _ in range(2):
        done = CliRunner().invoke(app, arguments(data, tmp_path / "out", "--planner", "nobody", *more))
        assert "there is no planner 'nobody'" in str(done.exception)


@pytest.mark.parametrize("shard", ["0/2", "3/2", "x"])
def test_an_impossible_shard_is_refused(data: Path, tmp_path: Path, shard: str) -> None:
    done = CliRunner().invoke(app, arguments(data, tmp_path / "out", "--shard", shard))
    assert done.exit_code == 2
    assert "1/4" in done.output
