"""The content of the shipped entries: a failure here is mended in knowledge_base/entries, not in the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from knowledge_base.embedding import embed_passages, read_vectors, same_vector, text_key
from knowledge_base.entry import LANGUAGES, read_entry
from knowledge_base.index import entry_texts
from knowledge_base.store import SHIPPED, VECTORS, KnowledgeBase

FILES = sorted(SHIPPED.glob("*.md"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_can_be_read(path: Path) -> None:
    read_entry(path)


def test_there_are_enough_of_them(shipped: KnowledgeBase) -> None:
    assert len(shipped.list()) == len(FILES) >= 60


def test_each_is_found_by_its_title_and_its_first_alias(shipped: KnowledgeBase) -> None:
    lost = [
        (entry.id, name)
        for entry in shipped.list()
        for language in LANGUAGES
        for name in (entry.title[language], *entry.aliases[language][:1])
        for product in entry.products[:1] or [None]
        if entry.id not in [hit.id for hit in shipped.search(name, product=product)]
    ]
    assert lost == []


def test_their_vectors_are_up_to_date() -> None:
    texts = [text.text for text in entry_texts(read_entry(path) for path in FILES)]
    vectors = read_vectors(SHIPPED / VECTORS)
    assert vectors.keys() == {text_key(text) for text in texts}, "run python -m knowledge_base.embed_entries"
    again = embed_passages(texts[:: len(texts) // 4], {})
    assert all(same_vector(vector, vectors[key]) for key, vector in again.items())
