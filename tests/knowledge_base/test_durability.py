"""Damage mends itself, and several processes share one home."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from knowledge_base.embed_entries import embed_entries
from knowledge_base.store import KnowledgeBase
from tests.bench.knowledge_rounds import DOCUMENTS, killed_round, shared_round

WriteEntry = Callable[..., Path]
TITLES = {"scratch": "Scratch", "stain": "污渍", "rust": "Rust", "thread": "螺纹损伤", "biscuit": "Broken biscuit"}


def finds_everything(knowledge: KnowledgeBase) -> bool:
    return all(knowledge.search(title)[0].id == id_ for id_, title in TITLES.items())


def index_folder(home: Path) -> Path:
    return home / str(json.loads((home / "manifest.json").read_text())["index"])


def forget_open_indexes() -> None:
    """Chroma keeps what a process has opened; a damage is seen by the next process."""
    from chromadb.api.shared_system_client import SharedSystemClient

    SharedSystemClient.clear_system_cache()


def change_manifest(home: Path, **changes: object) -> None:
    manifest = json.loads((home / "manifest.json").read_text())
    (home / "manifest.json").write_text(json.dumps(manifest | changes))


def lose_vectors(home: Path) -> None:
    import chromadb

    collection = chromadb.PersistentClient(str(index_folder(home))).get_collection("entries")
    collection.delete(ids=["scratch:en", "rust:zh"])


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def punch(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 4)
        file.write(b"\xa5" * (path.stat().st_size // 4))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no sqlite file": lambda home: (index_folder(home) / "chroma.sqlite3").unlink(),
    "half a sqlite file": lambda home: (index_folder(home) / "chroma.sqlite3").write_bytes(
        (index_folder(home) / "chroma.sqlite3").read_bytes()[:5000]
    ),
    "a hole in the sqlite file": lambda home: punch(index_folder(home) / "chroma.sqlite3"),
    "junk for a sqlite file": lambda home: (index_folder(home) / "chroma.sqlite3").write_bytes(b"junk" * 999),
    "no index folder": lambda home: shutil.rmtree(index_folder(home)),
    "an empty index folder": lambda home: empty(index_folder(home)),
    "lost vectors": lose_vectors,
    "no manifest": lambda home: (home / "manifest.json").unlink(),
    "half a manifest": lambda home: (home / "manifest.json").write_bytes((home / "manifest.json").read_bytes()[:40]),
    "vectors of another model": lambda home: change_manifest(home, embedding="another-model 2.0"),
    "vectors of another size": lambda home: change_manifest(home, dimension=512),
    "a manifest that points elsewhere": lambda home: change_manifest(home, index="../../etc"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_index_is_made_again(damage: Callable[[Path], object], tmp_path: Path, some_entries: Path) -> None:
    home = tmp_path / "home"
    assert finds_everything(KnowledgeBase(home, shipped=some_entries))
    before = index_folder(home)
    forget_open_indexes()
    damage(home)
    forget_open_indexes()
    assert finds_everything(KnowledgeBase(home, shipped=some_entries))
    assert index_folder(home) != before


def test_a_sound_index_is_left_alone(tmp_path: Path, some_entries: Path) -> None:
    home = tmp_path / "home"
    KnowledgeBase(home, shipped=some_entries).search("rust")
    before = (home / "manifest.json").stat().st_ino
    forget_open_indexes()
    assert finds_everything(KnowledgeBase(home, shipped=some_entries))
    assert (home / "manifest.json").stat().st_ino == before


def test_lost_and_damaged_vectors_are_computed_again(
    tmp_path: Path, some_entries: Path, write_entry: WriteEntry
) -> None:
    home = tmp_path / "home"
    write_entry(tmp_path / "new", "glaze", en="Glaze flaw", zh="釉面缺陷")
    KnowledgeBase(home, shipped=some_entries).add(tmp_path / "new")
    whole = (home / "embeddings.safetensors").read_bytes()
    (home / "embeddings.safetensors").write_bytes(whole[:100])
    (home / "manifest.json").unlink()
    assert KnowledgeBase(home, shipped=some_entries).search("glaze flaw")[0].id == "glaze"
    assert (home / "embeddings.safetensors").read_bytes() == whole


def test_shipped_entries_that_changed_are_taken_over(
    tmp_path: Path, some_entries: Path, write_entry: WriteEntry
) -> None:
    package = shutil.copytree(some_entries, tmp_path / "package")
    KnowledgeBase(tmp_path / "home", shipped=package).search("rust")
    write_entry(package, "glaze", en="Glaze flaw", zh="釉面缺陷")
    (package / "stain.md").unlink()
    embed_entries(package)
    updated = KnowledgeBase(tmp_path / "home", shipped=package)
    assert updated.search("glaze flaw")[0].id == "glaze"
    assert "stain" not in [hit.id for hit in updated.search("stain", limit=10)]


def test_an_entry_that_broke_in_the_home_is_reported_and_left_out(
    tmp_path: Path, some_entries: Path, write_entry: WriteEntry, caplog: pytest.LogCaptureFixture
) -> None:
    knowledge = KnowledgeBase(tmp_path / "home", shipped=some_entries)
    write_entry(tmp_path / "new", "glaze", en="Glaze flaw", zh="釉面缺陷")
    knowledge.add(tmp_path / "new")
    (tmp_path / "home" / "entries" / "glaze.md").write_text("oops")
    again = KnowledgeBase(tmp_path / "home", shipped=some_entries)
    assert finds_everything(again)
    assert again.entry("glaze") is None
    assert "glaze.md: has no front matter" in caplog.text


def test_what_another_process_adds_is_found_by_one_that_is_already_searching(
    tmp_path: Path, some_entries: Path, write_entry: WriteEntry
) -> None:
    reader = KnowledgeBase(tmp_path / "home", shipped=some_entries)
    writer = KnowledgeBase(tmp_path / "home", shipped=some_entries)
    reader.search("rust")
    for name in ("glaze", "seam", "knot"):
        write_entry(tmp_path / name, name, en=f"A {name}", zh=f"缺陷{name}")
        writer.add(tmp_path / name)
        assert reader.search(f"a {name}")[0].id == name
    assert len(list((tmp_path / "home").glob("index-*"))) == 2


def test_a_dotenv_file_does_not_send_the_knowledge_elsewhere(
    tmp_path: Path, some_entries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(
        "CHROMA_API_IMPL=chromadb.api.fastapi.FastAPI\nCHROMA_SERVER_HOST=192.0.2.1\n"
        "CHROMA_OTEL_COLLECTION_ENDPOINT=http://192.0.2.1:4317\nANONYMIZED_TELEMETRY=True\n"
    )
    monkeypatch.chdir(tmp_path)
    assert finds_everything(KnowledgeBase(tmp_path / "home", shipped=some_entries))


SEARCH = """
import sys
from pathlib import Path
from knowledge_base.store import KnowledgeBase
from tests.bench.knowledge_rounds import DOCUMENTS, killed_round, shared_round
knowledge = KnowledgeBase(Path(sys.argv[1]), shipped=Path(sys.argv[2]))
if len(sys.argv) > 3:
    knowledge.add(Path(sys.argv[3]))
print([knowledge.search(title)[0].id for title in ("Scratch", "污渍", "Rust", "螺纹损伤", "Broken biscuit")])
"""


def run_together(*arguments: tuple[Path, ...]) -> list[str]:
    running = [
        subprocess.Popen([sys.executable, "-c", SEARCH, *map(str, some)], stdout=subprocess.PIPE, text=True)
        for some in arguments
    ]
    return [process.communicate(timeout=120)[0].strip() for process in running]


def test_two_processes_start_in_one_empty_home(tmp_path: Path, some_entries: Path) -> None:
    home = tmp_path / "home"
    assert run_together((home, some_entries), (home, some_entries)) == [str([*TITLES])] * 2
    assert len(list(home.glob("index-*"))) == 1


def test_two_processes_add_at_the_same_time(tmp_path: Path, some_entries: Path, write_entry: WriteEntry) -> None:
    names = {"a": ["glaze", "seam"], "b": ["knot", "moth"]}
    for folder, some in names.items():
        for name in some:
            write_entry(tmp_path / folder, name, en=f"A {name}", zh=f"缺陷{name}")
    home = tmp_path / "home"
    found = run_together((home, some_entries, tmp_path / "a"), (home, some_entries, tmp_path / "b"))
    assert found == [str([*TITLES])] * 2
    knowledge = KnowledgeBase(home, shipped=some_entries)
    assert all(knowledge.search(f"a {name}")[0].id == name for some in names.values() for name in some)


def test_killed_and_shared_additions_lose_nothing(tmp_path: Path) -> None:
    (tmp_path / "shipped").mkdir()
    embed_entries(tmp_path / "shipped")
    for number in range(2):
        for name in ("killed", "shared"):
            (tmp_path / f"{name}-{number}").mkdir()
        draw = random.Random(number)
        reported, lost = killed_round(tmp_path / f"killed-{number}", tmp_path / "shipped", draw)
        assert (reported <= DOCUMENTS, lost) == (True, set())
        assert shared_round(tmp_path / f"shared-{number}", tmp_path / "shipped") == (2 * DOCUMENTS, set())
