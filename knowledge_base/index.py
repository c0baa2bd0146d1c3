"""The vectors of the entries in Chroma: written once into a fresh folder, then only read.

Chroma loses vectors without an error when two processes write one folder, and answers from what is left when
files are missing. So no folder is written twice, and `open_index` makes sure of what is in it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from knowledge_base.embedding import Vector, text_key
from knowledge_base.entry import LANGUAGES, Entry, Language

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

_COLLECTION: Final = "entries"
_BATCH: Final = 1000
_SQLITE: Final = "chroma.sqlite3"
# More neighbours than anybody asks for, and few enough to be found in a millisecond.
_MOST_NEIGHBOURS: Final = 500


@dataclass(frozen=True)
class Document:
    """What is embedded of an entry in one language."""

    entry: str
    language: Language
    text: str

    @property
    def id(self) -> str:
        return _document_id(self.entry, self.language)


def documents(entries: Iterable[Entry]) -> list[Document]:
    """Two for each entry: title, aliases and look, in English and in Chinese."""
    return [Document(entry.id, language, _text(entry, language)) for entry in entries for language in LANGUAGES]


def _document_id(entry: str, language: Language) -> str:
    return f"{entry}:{language}"


def _text(entry: Entry, language: Language) -> str:
    colon, comma = (": ", ", ") if language == "en" else (":", "、")
    names = f"{entry.title[language]}{colon}{comma.join(entry.aliases[language])}"
    return f"{names}\n{entry.sections[language].looks}"


class VectorIndex:
    """A Chroma collection of documents, only read."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def cosines(self, query: Vector, entries: Iterable[str]) -> dict[str, float]:
        """Cosine of the query to the nearest of these entries, each by the nearer of its two languages."""
        ids = [_document_id(entry, language) for entry in entries for language in LANGUAGES]
        nearest: dict[str, float] = {}
        for id_, cosine in self._neighbours(query, min(len(ids), _MOST_NEIGHBOURS), ids):
            entry = id_.partition(":")[0]
            nearest[entry] = max(cosine, nearest.get(entry, -1.0))
        return nearest

    def holds(self, count: int, sample: Iterable[Document]) -> bool:
        """Whether there are `count` documents, and each of the sample is found by its own vector."""
        return self._collection.count() == count and all(self._finds(document, count) for document in sample)

    def _finds(self, document: Document, count: int) -> bool:
        stored = self._collection.get(ids=[document.id], include=["embeddings"])["embeddings"]
        if stored is None or len(stored) != 1:
            return False
        found = self._neighbours(np.asarray(stored[0], np.float32), min(count, 10))
        return len(found) == min(count, 10) and found[0][1] > 0.999

    def _neighbours(self, query: Vector, limit: int, ids: list[str] | None = None) -> list[tuple[str, float]]:
        if not limit:
            return []
        found = self._collection.query(
            query_embeddings=query[np.newaxis], n_results=limit, ids=ids, include=["distances"]
        )
        distances = found["distances"] or [[]]
        return [(id_, 1.0 - float(d)) for id_, d in zip(found["ids"][0], distances[0], strict=True)]


def build_index(folder: Path, texts: Sequence[Document], vectors: Mapping[str, Vector]) -> VectorIndex:
    """Writes the documents, with their `vectors` by `text_key`, into a new folder."""
    folder.mkdir()
    collection = _client(folder).create_collection(
        _COLLECTION, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        collection.add(
            ids=[document.id for document in batch],
            embeddings=np.array([vectors[text_key(document.text)] for document in batch]),
            documents=[document.text for document in batch],
            metadatas=[{"entry": document.entry, "language": document.language} for document in batch],
        )
    return VectorIndex(collection)


def open_index(folder: Path, texts: Sequence[Document]) -> VectorIndex | None:
    """The index in a folder; None when it does not hold these documents, or no longer."""
    from chromadb.errors import ChromaError

    if not _is_sound(folder / _SQLITE):
        return None
    try:
        index = VectorIndex(_client(folder).get_collection(_COLLECTION, embedding_function=None))
        return index if index.holds(len(texts), [*texts[:1], *texts[-1:]]) else None
    except ChromaError:
        return None


def _is_sound(database: Path) -> bool:
    """Whether SQLite finds its file undamaged; Chroma opens a missing one as empty and panics on others."""
    if not database.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("PRAGMA quick_check").fetchone() == ("ok",))
    except sqlite3.DatabaseError:
        return False


def _client(folder: Path) -> ClientAPI:
    """Chroma in a folder, whatever a .env file in the working directory says of servers and telemetry."""
    import chromadb
    from chromadb.config import Settings

    settings = Settings(
        chroma_api_impl="chromadb.api.rust.RustBindingsAPI",
        chroma_otel_collection_endpoint="",
        anonymized_telemetry=False,
    )
    return chromadb.PersistentClient(str(folder), settings=settings)
