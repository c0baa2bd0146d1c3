"""Computes the vectors of the shipped entries, after any change to them: `python -m knowledge_base.embed_entries`."""

from __future__ import annotations

from pathlib import Path

from knowledge_base.embedding import embed_passages, read_vectors, write_vectors
from knowledge_base.entry import read_entry
from knowledge_base.index import entry_texts
from knowledge_base.store import SHIPPED, VECTORS


def embed_entries(folder: Path) -> int:
    """Brings the vectors beside the entries of a folder up to date; returns their number.

    Raises KnowledgeError for a file that is not an entry.
    """
    entries = [read_entry(path) for path in sorted(folder.glob("*.md"))]
    texts = [text.text for text in entry_texts(entries)]
    vectors = embed_passages(texts, read_vectors(folder / VECTORS))
    write_vectors(folder / VECTORS, vectors)
    return len(vectors)


if __name__ == "__main__":
    print(f"{embed_entries(SHIPPED)} vectors in {SHIPPED / VECTORS}")
