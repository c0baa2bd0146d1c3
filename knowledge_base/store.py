"""The knowledge base: what is known about defects, in Markdown files, found by meaning and by words.

The Markdown is the truth: the shipped entries beside this file, and in the home those that a person added.
The Chroma index is made from it, and made again whenever it does not agree with it: damage mends itself.
"""

from __future__ import annotations

import logging
import re
import shutil
import threading
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final
from uuid import uuid4

import filelock

from knowledge_base.embedding import Vector, embed_passages, embed_query, read_vectors, write_vectors
from knowledge_base.entry import Entry, KnowledgeError, Language, read_entry
from knowledge_base.files import write_atomically
from knowledge_base.index import Document, VectorIndex, build_index, documents, open_index
from knowledge_base.manifest import describe, read_manifest, write_manifest
from knowledge_base.passage import Passage, passage
from knowledge_base.products import closeness, families_of, product_of
from knowledge_base.ranking import FLOOR, fuse, order, relevance
from knowledge_base.words import WordIndex

SHIPPED: Final = Path(__file__).parent / "entries"
VECTORS: Final = "embeddings.safetensors"
MOST_QUERY_CHARACTERS: Final = 400
LONGEST_WAIT: Final = 600.0

_LOG = logging.getLogger(__name__)

# `list` is a method of KnowledgeBase, so inside the class the type needs another name.
Passages = list[Passage]
Entries = list[Entry]


@dataclass(frozen=True)
class AddReport:
    """What became of the files of a folder: ids of entries, and an error for each file that was refused."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    refused: list[KnowledgeError] = field(default_factory=list)


@dataclass(frozen=True)
class _View:
    """Entries and their indexes as they were when the manifest had this stamp."""

    entries: Mapping[str, Entry]
    words: WordIndex
    vectors: VectorIndex
    stamp: tuple[int, int] | None

    def best(self, query: str, product: str | None) -> Iterator[tuple[Entry, float]]:
        """The entries that answer a query, best first, each with its relevance."""
        steps = closeness(self.entries, product)
        by_meaning = self.vectors.cosines(embed_query(query), steps)
        by_words = {id_: score for id_, score in self.words.scores(query).items() if id_ in by_meaning}
        scores = {id_: relevance(cosine, self.words.share(query, id_)) for id_, cosine in by_meaning.items()}
        relevant = {id_: score for id_, score in scores.items() if score >= FLOOR}
        for id_ in order(relevant, fuse(by_meaning, by_words), steps):
            yield self.entries[id_], relevant[id_]


class KnowledgeBase:
    """The entries in `shipped` and those added to `folder`, which threads and processes may share.

    Making one costs nothing; the index is opened, or built, by the first search.
    """

    def __init__(self, folder: Path, shipped: Path = SHIPPED) -> None:
        """Raises KnowledgeError when the folder cannot be created."""
        self._folder, self._shipped, self._added = folder, shipped, folder / "entries"
        self._manifest = folder / "manifest.json"
        self._view: _View | None = None
        self._mutex = threading.Lock()
        try:
            self._added.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            remedy = "name a folder that you may write to"
            raise KnowledgeError(folder, f"cannot be made ({error.strerror})", remedy) from None

    def search(
        self, query: str, *, product: str | None = None, language: str | None = None, limit: int = 3
    ) -> Passages:
        """The entries that answer a query, best first, at most `limit`; none when nothing is relevant.

        `product` keeps out what is known of other products only (see `products.closeness`). `language` is "en"
        or "zh", by default that of the query. Raises KnowledgeError when another process writes for too long.
        """
        query = _tidy(query)
        if not query or limit < 1:
            return []
        spoken = _language(query, language)
        best = islice(self._current().best(query, product), limit)
        return [passage(entry, spoken, product_of(entry, product), round(score, 3)) for entry, score in best]

    def knows(self, product: str) -> bool:
        """Whether any entry speaks of this product or is of a family of this name."""
        return bool(families_of(self._current().entries, product))

    def entry(self, id_: str) -> Entry | None:
        """The entry of this id, if there is one."""
        return self._entries().get(id_)

    def list(self) -> Entries:
        """All entries, by id."""
        return [*self._entries().values()]

    def add(self, folder: Path) -> AddReport:
        """Copies an entry, or those in a folder and the folders below it, into the home; a known id is replaced.

        Files that are not entries are refused, each with its reason, and the rest is added. Raises
        KnowledgeError when there is no such folder, and when another process writes for too long.
        """
        if not folder.exists():
            raise KnowledgeError(folder, "is not a folder", "name a folder of entries (*.md)")
        report = AddReport()
        with self._writing():
            known, seen = self._read(), set[str]()
            for path in _visible_files(folder):
                try:
                    entry = _new_entry(path, seen)
                except KnowledgeError as error:
                    report.refused.append(error)
                    continue
                seen.add(entry.id)
                self._keep(path, entry, known.get(entry.id), report)
            if report.added or report.changed:
                self._build(self._read())
        return report

    def _keep(self, path: Path, entry: Entry, known: Entry | None, report: AddReport) -> None:
        if entry == known:
            report.unchanged.append(entry.id)
            return
        write_atomically(self._added / f"{entry.id}.md", path.read_bytes())
        (report.added if known is None else report.changed).append(entry.id)

    def _entries(self) -> Mapping[str, Entry]:
        view = self._view
        return view.entries if view and view.stamp == self._stamp() else self._read()

    def _read(self) -> dict[str, Entry]:
        """All entries by id; a file that cannot be read as one is reported in the log and left out."""
        entries = {}
        for path in [*self._shipped.glob("*.md"), *self._added.glob("*.md")]:
            try:
                entry = read_entry(path)
            except KnowledgeError as error:
                _LOG.warning("%s", error)
            else:
                entries[entry.id] = entry
        return dict(sorted(entries.items()))

    def _current(self) -> _View:
        with self._mutex:
            if self._view is None or self._view.stamp != self._stamp():
                self._view = self._open()
            return self._view

    def _open(self) -> _View:
        stamp, entries = self._stamp(), self._read()
        vectors = self._sound_index(entries)
        if vectors is None:
            with self._writing():
                entries = self._read()
                vectors = self._sound_index(entries) or self._build(entries)
                stamp = self._stamp()
        return _View(entries, WordIndex(entries.values()), vectors, stamp)

    def _sound_index(self, entries: Mapping[str, Entry]) -> VectorIndex | None:
        manifest = read_manifest(self._manifest)
        if manifest is None or manifest != describe(manifest.index, entries.values()):
            return None
        return open_index(self._folder / manifest.index, documents(entries.values()))

    def _build(self, entries: Mapping[str, Entry]) -> VectorIndex:
        """A new index beside the one in use, which others may still be reading; older ones are removed."""
        before = read_manifest(self._manifest)
        manifest = describe(f"index-{uuid4().hex}", entries.values())
        texts = documents(entries.values())
        index = build_index(self._folder / manifest.index, texts, self._vectors(texts))
        write_manifest(self._manifest, manifest)
        for folder in self._folder.glob("index-*"):
            if folder.name not in {manifest.index, before.index if before else ""}:
                shutil.rmtree(folder, ignore_errors=True)
        return index

    def _vectors(self, texts: Iterable[Document]) -> dict[str, Vector]:
        """Vectors of the documents; those that do not come with the shipped entries are kept in the home."""
        shipped = read_vectors(self._shipped / VECTORS)
        kept = read_vectors(self._folder / VECTORS)
        vectors = embed_passages((document.text for document in texts), shipped | kept)
        own = {key: vector for key, vector in vectors.items() if key not in shipped}
        if own.keys() != kept.keys():
            write_vectors(self._folder / VECTORS, own)
        return vectors

    def _stamp(self) -> tuple[int, int] | None:
        """Tells one manifest from the next."""
        try:
            status = self._manifest.stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Only one process or thread at a time is in here."""
        lock = filelock.FileLock(self._folder / "write.lock", timeout=LONGEST_WAIT)
        try:
            lock.acquire()
        except filelock.Timeout:
            cause = f"another process has been writing for {LONGEST_WAIT:.0f} s"
            raise KnowledgeError(self._folder, cause, "wait for it or end it") from None
        try:
            yield
        finally:
            lock.release()


def _visible_files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _new_entry(path: Path, seen: Container[str]) -> Entry:
    """The entry in a file of a folder that is being added, unless its id was `seen` in another file."""
    if path.suffix != ".md":
        raise KnowledgeError(path, "is not a Markdown file", "write what it says as an entry (*.md)")
    entry = read_entry(path)
    if entry.id in seen:
        raise KnowledgeError(path, f"repeats the id {entry.id}", "give each entry an id of its own")
    return entry


def _tidy(query: str) -> str:
    """One line of valid text, of a length that embeds in less than 0.1 s."""
    return " ".join(query.encode("utf-8", "replace").decode().split())[:MOST_QUERY_CHARACTERS]


def _language(query: str, asked: str | None) -> Language:
    """The language asked for ("zh-CN" is Chinese), else Chinese for a query with Chinese in it, else English."""
    chinese = re.search("[\u3400-\u9fff]", query) if asked is None else asked.lower().startswith("zh")
    return "zh" if chinese else "en"
