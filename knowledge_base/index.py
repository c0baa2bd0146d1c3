"""The vectors of entries and documents in Chroma: written once into a fresh folder, then only read.

Chroma loses vectors without an error when two processes write one folder, and answers from what is left when
files are missing. So no folder is written twice, and `open_index` makes sure of what is in it.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from knowledge_base.embedding import DIMENSION, Vector, text_key
from knowledge_base.entry import LANGUAGES, Entry, Language

# The set of ids up to which an exact comparison is faster than Chroma's search among them.
FEW: Final = 1000
SMALL: Final = 5000  # texts of an index whose vectors are held in memory

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

_COLLECTION: Final = "entries"
_BATCH: Final = 1000
_SQLITE: Final = "chroma.sqlite3"
# More neighbours than anybody asks for, and few enough to be found in a millisecond.
_MOST_NEIGHBOURS: Final = 500


@dataclass(frozen=True)
class Embedded:
    """A text with a vector: `item` is the entry or the chunk that it stands for."""

    id: str
    item: str
    text: str


def entry_texts(entries: Iterable[Entry]) -> list[Embedded]:
    """Two for each entry: title, aliases and look, in English and in Chinese."""
    return [
        Embedded(f"{entry.id}:{language}", entry.id, _text(entry, language))
        for entry in entries
        for language in LANGUAGES
    ]


def _text(entry: Entry, language: Language) -> str:
    colon, comma = (": ", ", ") if language == "en" else (":", "、")
    names = f"{entry.title[language]}{colon}{comma.join(entry.aliases[language])}"
    return f"{names}\n{entry.sections[language].looks}"


class VectorIndex:
    """A Chroma collection of `texts`, only read."""

    def __init__(self, collection: Collection, texts: Iterable[Embedded]) -> None:
        self._collection = collection
        self._item: dict[str, str] = {}
        self._of: defaultdict[str, list[str]] = defaultdict(list)
        for text in texts:
            self._item[text.id] = text.item
            self._of[text.item].append(text.id)

    def cosines(self, query: Vector, items: Iterable[str] | None = None) -> dict[str, float]:
        """Cosine of the query to the nearest of these items (None: of all), each by the nearer of its texts."""
        ids = None if items is None else [id_ for item in items for id_ in self._of[item]]
        if len(self._item) <= SMALL:
            found = self._exact(query, ids)
        elif ids is None:
            found = self._neighbours(query, _MOST_NEIGHBOURS)
        elif len(ids) <= FEW:
            found = self._compared(query, ids)
        else:
            found = self._neighbours(query, _MOST_NEIGHBOURS, ids)
        nearest: dict[str, float] = {}
        for id_, cosine in found:
            item = self._item[id_]
            nearest[item] = max(cosine, nearest.get(item, -1.0))
        return nearest

    def _exact(self, query: Vector, ids: Sequence[str] | None) -> list[tuple[str, float]]:
        """Every one of a small collection, compared in memory."""
        names, vectors = self._all
        cosines = (vectors @ query).tolist()
        if ids is None:
            return list(zip(names, cosines, strict=True))
        return [(id_, cosines[names[id_]]) for id_ in ids if id_ in names]

    @cached_property
    def _all(self) -> tuple[dict[str, int], Vector]:
        found = self._collection.get(include=["embeddings"])
        vectors = np.asarray(found["embeddings"], np.float32).reshape(-1, DIMENSION)
        return {id_: row for row, id_ in enumerate(found["ids"])}, vectors

    def _compared(self, query: Vector, ids: list[str]) -> list[tuple[str, float]]:
        if not ids:
            return []
        found = self._collection.get(ids=ids, include=["embeddings"])
        vectors = np.asarray(found["embeddings"], np.float32)
        return list(zip(found["ids"], (vectors @ query).tolist(), strict=True))

    def holds(self, count: int, sample: Iterable[Embedded]) -> bool:
        """Whether there are `count` texts, and each of the sample is found by its own vector."""
        return self._collection.count() == count and all(self._finds(text, count) for text in sample)

    def _finds(self, text: Embedded, count: int) -> bool:
        stored = self._collection.get(ids=[text.id], include=["embeddings"])["embeddings"]
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


def build_index(folder: Path, texts: Sequence[Embedded], vectors: Mapping[str, Vector]) -> VectorIndex:
    """Writes the texts, with their `vectors` by `text_key`, into a new folder."""
    folder.mkdir()
    collection = _client(folder).create_collection(
        _COLLECTION, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        collection.add(
            ids=[text.id for text in batch],
            embeddings=np.array([vectors[text_key(text.text)] for text in batch]),
        )
    return VectorIndex(collection, texts)


def open_index(folder: Path, texts: Sequence[Embedded]) -> VectorIndex | None:
    """The index in a folder; None when it does not hold these texts, or no longer."""
    from chromadb.errors import ChromaError

    if not _is_sound(folder / _SQLITE):
        return None
    try:
        index = VectorIndex(_client(folder).get_collection(_COLLECTION, embedding_function=None), texts)
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
