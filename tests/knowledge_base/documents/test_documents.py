"""Documents in a knowledge base: found, cited, renewed, forgotten, and mended."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from knowledge_base.documents.shelf import Shelf
from knowledge_base.embed_entries import embed_entries
from knowledge_base.store import KnowledgeBase

NAMES = [
    "defects.csv",
    "line 2/limits.xlsx",
    "line 2/welding.docx",
    "night.txt",
    "pump.md",
    "rework.pdf",
    "阳极氧化.txt",
]
ANSWERS = {
    "how deep may an undercut of a weld be": "line 2/welding.docx",
    "阳极氧化槽的温度是多少": "阳极氧化.txt",
    "helium leak test pressure": "pump.md",
    "密封面划痕超过多少报废": "rework.pdf, p. 1",
}


@pytest.fixture
def known(tmp_path: Path, write_entry: object) -> KnowledgeBase:
    (tmp_path / "shipped").mkdir()
    embed_entries(tmp_path / "shipped")
    return KnowledgeBase(tmp_path / "home", shipped=tmp_path / "shipped")


def again(tmp_path: Path) -> KnowledgeBase:
    from chromadb.api.shared_system_client import SharedSystemClient

    SharedSystemClient.clear_system_cache()
    return KnowledgeBase(tmp_path / "home", shipped=tmp_path / "shipped")


def answers(known: KnowledgeBase) -> dict[str, str]:
    return {query: hits[0].source if (hits := known.search(query)) else "" for query in ANSWERS}


def test_every_kind_is_found_and_says_where_it_stands(known: KnowledgeBase, plant: Path) -> None:
    report = known.add(plant)
    assert sorted(report.added) == NAMES
    assert [record.name for record in known.documents()] == NAMES
    assert answers(known) == ANSWERS
    hit = known.search("how deep may an undercut of a weld be")[0]
    assert hit.title == "welding › Welding criteria › Undercut"
    assert hit.id.startswith("welding-")
    assert hit.language == "en"


def test_a_product_is_told_its_own_and_general_passages_only(known: KnowledgeBase, plant: Path) -> None:
    known.add(plant)
    assert known.knows("轴承")
    assert {hit.product for hit in known.search("麻点 小坑", product="轴承", limit=20)} <= {"轴承", "general"}
    assert all(hit.product != "pump" for hit in known.search("helium leak test", product="brake disc", limit=20))


def test_only_what_changed_is_read_again_and_what_is_gone_is_forgotten(known: KnowledgeBase, plant: Path) -> None:
    known.add(plant)
    (plant / "night.txt").write_text("The night shift cleans the chute of the lathe every Monday.", "utf-8")
    (plant / "rework.pdf").unlink()
    told: list[tuple[str, str]] = []
    report = known.add(plant, told=lambda file, state: told.append((file.name, state)))
    assert (report.added, report.changed, report.removed) == ([], ["night.txt"], ["rework.pdf"])
    assert ("rework.pdf", "removed") in told
    assert known.search("who cleans the chute")[0].source == "night.txt"
    assert all(hit.source != "rework.pdf, p. 1" for hit in known.search("密封面划痕超过多少报废", limit=50))
    stored = sorted(path.name for path in (plant.parent / "home" / "documents").glob("*/rework*"))
    assert stored == []


def test_the_product_asked_for_renews_a_document(known: KnowledgeBase, plant: Path) -> None:
    known.add(plant / "night.txt")
    assert known.add(plant / "night.txt", product="lathe").changed == ["night.txt"]
    assert known.search("filter of the coolant", product="lathe")[0].product == "lathe"


def test_equal_text_is_told_once(known: KnowledgeBase, plant: Path) -> None:
    known.add(plant)
    known.add(shutil.copy(plant / "night.txt", plant.parent / "copy of night.txt"))
    hits = known.search("filter of the coolant on Monday", limit=20)
    assert len([hit for hit in hits if "night" in hit.source]) == 1


def test_documents_are_removed_by_name_key_and_folder(known: KnowledgeBase, plant: Path) -> None:
    known.add(plant)
    assert known.remove("line 2") == ["line 2/limits.xlsx", "line 2/welding.docx"]
    assert known.remove(known.documents()[0].key) == ["defects.csv"]
    assert known.remove("../manifest.json") == []
    assert known.remove("nobody") == []
    assert [record.name for record in known.documents()] == NAMES[3:]


def test_an_export_can_be_added_elsewhere(known: KnowledgeBase, plant: Path, tmp_path: Path) -> None:
    known.add(plant)
    assert known.export(tmp_path / "out") == len(NAMES)
    other = KnowledgeBase(tmp_path / "other", shipped=tmp_path / "shipped")
    assert sorted(other.add(tmp_path / "out").added) == NAMES
    assert answers(other) == ANSWERS


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("kind", ["chunks", "vectors"])
@pytest.mark.parametrize("how", [damaged, Path.unlink])
def test_lost_and_damaged_passages_and_vectors_are_made_again(
    known: KnowledgeBase, plant: Path, tmp_path: Path, kind: str, how: object
) -> None:
    known.add(plant)
    for path in (tmp_path / "home" / "documents" / kind).iterdir():
        assert callable(how)
        how(path)
    (tmp_path / "home" / "manifest.json").unlink()
    assert answers(again(tmp_path)) == ANSWERS


def test_a_damaged_record_is_told_and_rebuilt_from_its_source(
    known: KnowledgeBase, plant: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known.add(plant)
    key = next(record.key for record in known.documents() if record.name == "pump.md")
    damaged(tmp_path / "home" / "documents" / f"{key}.json")
    fresh = again(tmp_path)
    assert "pump.md" not in answers(fresh).values()
    assert "flawlens knowledge rebuild" in caplog.text
    assert fresh.rebuild() == []
    assert answers(fresh)["helium leak test pressure"] == f"{key}.md"


def test_a_damaged_source_is_told_by_a_rebuild(known: KnowledgeBase, plant: Path, tmp_path: Path) -> None:
    known.add(plant)
    source = next((tmp_path / "home" / "documents" / "sources").glob("rework-*"))
    source.write_bytes(b"no PDF any more")
    broken = known.rebuild()
    assert [error.cause for error in broken] == ["is not a readable PDF (PdfStreamError)"]
    assert known.search("helium leak test pressure")[0].source == "pump.md"


def test_a_record_that_points_elsewhere_is_not_followed(known: KnowledgeBase, plant: Path, tmp_path: Path) -> None:
    known.add(plant / "night.txt")
    (record,) = (tmp_path / "home" / "documents").glob("*.json")
    told = json.loads(record.read_text())
    for changed in ({"key": "../../etc/passwd"}, {"name": "../x"}, {"name": "/etc/x"}, {"suffix": "/../x"}):
        record.write_text(json.dumps(told | changed))
        assert Shelf(tmp_path / "home" / "documents").list() == []


def test_passages_of_a_document_are_listed_by_its_name(known: KnowledgeBase, plant: Path) -> None:
    known.add(plant)
    assert [chunk.section for chunk in known.passages_of("pump.md")] == ["", "Leak test", "Leak test › Limit"]
    assert [chunk.defect for chunk in known.passages_of("defects.csv")] == ["麻点", "拖痕"]
    assert known.passages_of("nothing") == []
