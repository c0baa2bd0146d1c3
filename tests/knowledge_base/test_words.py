"""The search by words: what is saved is what is opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from knowledge_base.entry import Entry, read_entry
from knowledge_base.words import WordIndex, terms_of, words


@pytest.fixture
def entries(some_entries: Path) -> dict[str, Entry]:
    return {path.stem: read_entry(path) for path in sorted(some_entries.glob("*.md"))}


def test_words_lose_their_plural_and_chinese_is_cut_at_its_fillers() -> None:
    assert words("Dark scratches, glass edges") == ["dark", "scratch", "glass", "edge"]
    assert words("螺纹的损伤怎么修") == ["螺纹", "损伤", "修"]


def test_a_saved_index_is_opened_and_not_made_again(
    tmp_path: Path, entries: Mapping[str, Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = WordIndex.of(entries)
    made.save(tmp_path)
    monkeypatch.setattr(WordIndex, "of", lambda items: pytest.fail("made again"))
    opened = WordIndex.opened(tmp_path, entries)
    asked = terms_of("a flattened thread")
    assert opened.best(asked, None, 5) == made.best(asked, None, 5) == ["thread"]
    assert opened.shared(asked, "thread") == made.shared(asked, "thread") > 0


@pytest.mark.parametrize("name", ["data.csc.index.npy", "vocab.index.json", "params.index.json"])
def test_a_damaged_or_foreign_index_is_made_again(tmp_path: Path, entries: dict[str, Entry], name: str) -> None:
    WordIndex.of(entries).save(tmp_path / "cut")
    (tmp_path / "cut" / name).write_bytes((tmp_path / "cut" / name).read_bytes()[:9])
    fewer = {id_: entry for id_, entry in entries.items() if id_ != "rust"}
    WordIndex.of(fewer).save(tmp_path / "other")
    for folder in ("cut", "other", "none"):
        opened = WordIndex.opened(tmp_path / folder, entries)
        assert opened.best(terms_of("brown powder on steel"), None, 1) == ["rust"]
