"""The command as its user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.diagnosis import Diagnosis

MMAD_SAMPLE = "{data}/mmad/mmad_sample_2_real_entries.json"
Flawlens = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def flawlens(tmp_path_factory: pytest.TempPathFactory) -> Flawlens:
    environment = {**os.environ, "FLAWLENS_HOME": str(tmp_path_factory.mktemp("home"))}

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "agent", *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return call


def test_a_scratched_part_is_found_defective_and_the_answer_can_be_acted_on(flawlens: Flawlens, parts: Path) -> None:
    references = [argument for seed in range(1, 5) for argument in ("-r", parts / f"good_{seed}.png")]
    done = flawlens("inspect", parts / "scratched.png", *references, "--json", "--fail-on-defect")
    assert done.returncode == 3, done.stderr
    found = Diagnosis.model_validate_json(done.stdout)
    assert found.verdict == "defective"
    assert found.outcome == "submitted"
    assert found.planner == "rules"
    assert found.defects
    known = {item.id for item in found.evidence}
    assert all(set(defect.evidence) <= known for defect in found.defects)
    assert found.repair.actions
    assert all(action.endswith("]") for action in found.repair.actions)


def test_a_good_part_is_accepted_with_nothing_above_the_normal_range(flawlens: Flawlens, parts: Path) -> None:
    references = [argument for seed in range(1, 5) for argument in ("-r", parts / f"good_{seed}.png")]
    done = flawlens("inspect", parts / "good_5.png", *references, "--json", "--fail-on-defect")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["verdict"], found["repair"]["disposition"], found["defects"]) == ("normal", "accept", [])
    assert found["evidence"][0]["finding"].startswith("Nothing above the normal range")
    assert found["evidence"][0]["regions"] == []


def test_a_reference_of_another_product_leaves_the_verdict_to_a_person(flawlens: Flawlens, parts: Path) -> None:
    found = json.loads(flawlens("inspect", parts / "good_1.png", "-r", parts / "gasket.png", "--json").stdout)
    assert found["verdict"] == "uncertain"
    assert found["repair"]["disposition"] == "hold"
    assert found["scores"]["detector"] is None
    assert any("comparable" in item["finding"] for item in found["evidence"])


def test_without_a_reference_nothing_found_is_not_called_normal(flawlens: Flawlens, parts: Path) -> None:
    found = json.loads(flawlens("inspect", parts / "good_1.png", "--json").stdout)
    assert found["verdict"] != "normal"
    assert any("no reference" in reason for reason in found["degraded"])


def test_a_run_can_be_listed_shown_and_written_as_a_page(flawlens: Flawlens, parts: Path, tmp_path: Path) -> None:
    done = flawlens("inspect", parts / "scratched.png", "-r", parts / "good_1.png", "--product", "bracket")
    assert done.returncode == 0, done.stderr
    assert "rules" in done.stdout
    newest = json.loads(flawlens("runs", "list", "--json").stdout)[0]["id"]
    assert newest in flawlens("runs", "show", newest).stdout
    page = tmp_path / "page.html"
    assert flawlens("runs", "html", newest, "--out", page).returncode == 0
    assert newest in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "{parts}/nothing.png"),
        ("inspect", "{empty}"),
        ("inspect", "{parts}/good_1.png", "-r", "{parts}/nothing.png"),
        ("inspect", "{parts}/good_1.png", "-r", "{empty}"),
        ("inspect", "{parts}/good_1.png", "--planner", "oracle"),
        ("runs", "show", "nothing"),
        ("knowledge", "add", "{parts}/nothing"),
    ],
)
def test_bad_input_is_one_line_on_stderr_and_exit_status_2(
    flawlens: Flawlens, parts: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = flawlens(*(argument.format(parts=parts, empty=tmp_path) for argument in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_a_file_name_that_is_no_utf_8_is_spelled_out(flawlens: Flawlens, parts: Path, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/part\xff.png"
    with open(odd, "wb") as file:  # noqa: PTH123
        file.write((parts / "good_1.png").read_bytes())
    done = flawlens("inspect", os.fsdecode(odd), "-r", parts / "good_2.png", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["image"].endswith("part\\xff.png")


def test_a_bank_of_many_references_is_kept_and_a_broken_one_is_fitted_again(
    flawlens: Flawlens, parts: Path, tmp_path: Path
) -> None:
    good = [argument for seed in range(1, 6) for argument in ("-r", parts / f"good_{seed}.png")]
    command = ("inspect", parts / "scratched.png", *good, "--json", "--home", tmp_path)
    first = json.loads(flawlens(*command).stdout)
    (bank,) = (tmp_path / "banks").iterdir()
    assert json.loads(flawlens(*command).stdout)["scores"] == first["scores"]
    bank.write_bytes(bank.read_bytes()[:1000])
    assert json.loads(flawlens(*command).stdout)["scores"] == first["scores"]
    assert [path.name for path in (tmp_path / "banks").iterdir()] == [bank.name]


def test_an_mmad_folder_is_checked(flawlens: Flawlens, data: Path) -> None:
    done = flawlens("mmad", "validate", "--data", data / "mmad", "--annotation", MMAD_SAMPLE.format(data=data))
    assert done.returncode == 2
    assert "2 pictures" in done.stdout
    assert "missing file" in done.stdout


def test_knowledge_is_searched_in_both_languages(flawlens: Flawlens) -> None:
    for query in ("thin scratch on metal", "金属表面细长划痕"):
        hits = json.loads(flawlens("knowledge", "search", query, "--json").stdout)
        assert "scratch" in hits[0]["id"]
        assert {"id", "title", "product", "defect", "language", "score", "text", "source"} <= hits[0].keys()
    assert json.loads(flawlens("knowledge", "search", "best pizza in town", "--json").stdout) == []


def test_the_examples_are_drawn_where_they_are_asked_for(flawlens: Flawlens, tmp_path: Path) -> None:
    assert flawlens("example", tmp_path / "parts", "--good", 1).returncode == 0
    assert (tmp_path / "parts" / "scratched.png").exists()
    assert (tmp_path / "parts" / "good.png").exists()


def test_doctor_finds_this_machine_fit(flawlens: Flawlens) -> None:
    done = flawlens("doctor", "--json")
    assert done.returncode == 0, done.stdout
    assert all(finding["level"] != "problem" for finding in json.loads(done.stdout))
