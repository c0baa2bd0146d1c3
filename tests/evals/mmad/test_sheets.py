"""The benchmark's own domain knowledge: the whole sheet of the right object."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.__main__ import app
from evals.dataset import DatasetError
from evals.mmad.data import read_mmad
from evals.mmad.sheets import read_sheets, sheet_of
from tests.evals.mmad.test_run import arguments


def test_every_real_key_has_the_sheet_of_its_object(data: Path, tmp_path: Path) -> None:
    mmad = data / "mmad"
    keys = json.loads((mmad / "mmad_keys_and_answers_989.json").read_bytes())
    (tmp_path / "mmad.json").write_text(json.dumps({key["image"]: {"conversation": []} for key in keys}))
    sheets = read_sheets(mmad / "domain_knowledge.json")
    assert sum(len(objects) for objects in sheets.values()) == 38
    images = read_mmad(tmp_path).images
    assert len(images) == len({key["image"] for key in keys})
    found = {image.key: sheet_of(sheets, image) for image in images}
    assert [key for key, text in found.items() if not text or len(text) < 1000] == []


def test_a_bottle_gets_all_texts_on_bottles(data: Path) -> None:
    mmad = data / "mmad"
    sheets = read_sheets(mmad / "domain_knowledge.json")
    (image, *_) = read_mmad(mmad, mmad / "mmad_sample_2_real_entries.json").images
    text = sheet_of(sheets, image)
    assert text is not None
    assert all(part.strip() in text for part in sheets["MVTec"]["bottle"].values())


@pytest.mark.parametrize("text", ["[]", "no JSON", '{"MVTec": {"bottle": {"good": 3}}}', '{"MVTec": []}'])
def test_a_file_that_is_no_sheet_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "sheets.json").write_text(text)
    with pytest.raises(DatasetError, match=r"domain_knowledge\.json"):
        read_sheets(tmp_path / "sheets.json")


def test_a_run_without_the_file_is_one_line(data: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, arguments(data, tmp_path / "out", "--knowledge", "sheet", "--limit", "1"))
    assert "domain_knowledge.json" in str(done.exception)
