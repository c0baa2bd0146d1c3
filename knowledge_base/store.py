"""The knowledge base: what is known about defects, in entries and documents, found by meaning and by words.

The files are the truth: the shipped entries beside this file, and in the home the entries and documents that a person
added. The index in Chroma is made from them, and made again whenever it does not agree with them: damage mends itself.
"""

from __future__ import annotations

import logging
import re
import shutil
import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final
from uuid import uuid4

import filelock

from knowledge_base.documents import SUFFIXES, State
from knowledge_base.documents.chunks import Chunk
from knowledge_base.documents.shelf import Record, Shelf
from knowledge_base.embedding import Vector, embed_passages, read_vectors, write_vectors
from knowledge_base.entry import Entry, KnowledgeError, Language, is_entry, read_entry
from knowledge_base.files import write_atomically
from knowledge_base.index import Embedded, VectorIndex, build_index, open_index
from knowledge_base.manifest import describe, read_manifest, write_manifest
from knowledge_base.passage import Passage, passage
from knowledge_base.products import ProductMap, product_of
from knowledge_base.ranking import FLOOR
from knowledge_base.view import Items, View, items_of, texts_of
from knowledge_base.words import WordIndex

SHIPPED: Final = Path(__file__).parent / "entries"
VECTORS: Final = "embeddings.safetensors"
MOST_QUERY_CHARACTERS: Final = 400
LONGEST_WAIT: Final = 600.0
_WORDS: Final = "words"

_LOG = logging.getLogger(__name__)

Told = Callable[[Path, State], None]


def _ignore(file: Path, state: State) -> None:
    """Nobody watches."""


# `list` is a method of KnowledgeBase, so inside the class the type needs another name.
Passages = list[Passage]
Entries = list[Entry]


@dataclass(frozen=True)
class AddReport:
    """What became of files: ids of entries and names of documents, and an error for each that was refused.

    `skipped` are files of a folder of kinds that are not read.
    """

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    refused: list[KnowledgeError] = field(default_factory=list)


class KnowledgeBase:
    """The entries in `shipped` and what was added to `folder`, which threads and processes may share.

    Making one costs nothing; the index is opened, or built, by the first search.
    """

    def __init__(self, folder: Path, shipped: Path = SHIPPED) -> None:
        """Raises KnowledgeError when the folder cannot be created."""
        self._folder, self._shipped, self._added = folder, shipped, folder / "entries"
        self._manifest = folder / "manifest.json"
        self._shelf = Shelf(folder / "documents")
        self._view: View | None = None
        self._mutex = threading.Lock()
        try:
            self._added.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            remedy = "name a folder that you may write to"
            raise KnowledgeError(folder, f"cannot be made ({error.strerror})", remedy) from None

    def search(
        self,
        query: str,
        *,
        product: str | None = None,
        language: str | None = None,
        limit: int = 3,
        floor: float = FLOOR,
    ) -> Passages:
        """The passages that answer a query, best first, at most `limit`; none when nothing is relevant.

        `product` keeps out what is known of other products only (see `ProductMap.closeness`). Entries speak `language`,
        "en" or "zh", by default that of the query; documents their own. What is less relevant than `floor` is left out.
        Raises KnowledgeError when another process writes for too long.
        """
        query = _tidy(query)
        if not query or limit < 1:
            return []
        spoken = _language(query, language)
        best = islice(self._current().best(query, product, floor), limit)
        return [_passage(item, spoken, product, round(score, 3)) for item, score in best]

    def knows(self, product: str) -> bool:
        """Whether anything is about this product or is of a family of this name."""
        return self._current().products.knows(product)

    def entry(self, id_: str) -> Entry | None:
        """The entry of this id, if there is one."""
        return self._entries().get(id_)

    def list(self) -> Entries:
        """All entries, by id."""
        return [*self._entries().values()]

    def documents(self) -> Sequence[Record]:
        """All documents, by name."""
        return self._shelf.list()

    def passages_of(self, name: str) -> Sequence[Chunk]:
        """The chunks of the documents of this name or key, or of those below a folder of this name."""
        return [chunk for record in self._shelf.find(name) for chunk in self._shelf.chunks(record)]

    def add(self, path: Path, product: str | None = None, told: Told = _ignore) -> AddReport:
        """Takes a file, or all in a folder and the folders below it, into the home; what is known is renewed.

        Entries are Markdown files with an `id`; everything else is a document, of `product` where it names no other.
        Documents that were added from this folder and are gone from it are removed. A broken file is refused, with its
        reason, and the rest is added; `told` hears of each file as soon as it is safe on disk. Raises KnowledgeError
        when there is no such file or folder, and when another process writes for too long.
        """
        if not path.exists():
            raise KnowledgeError(path, "is not there", "name a file, or a folder of entries and documents")
        root, report, seen, known = path.resolve(), AddReport(), set[str](), self._read()
        for file in files_below(root):
            if root.is_dir() and file.suffix.lower() not in SUFFIXES:
                report.skipped.append(file)
                told(file, "skipped")
                continue
            try:
                with self._writing():
                    id_, state = self._take(file, root, product, seen, known)
            except KnowledgeError as error:
                report.refused.append(error)
                told(file, "refused")
                continue
            getattr(report, state).append(id_)
            told(file, state)
        if root.is_dir():
            self._forget_gone(root, report, told)
        if report.added or report.changed or report.removed:
            with self._writing():
                self._build(*self._read_all())
        return report

    def remove(self, name: str) -> Sequence[str]:
        """Forgets the documents of this name, key or folder, or an added entry; the names of what is gone."""
        with self._writing():
            records, entry = self._shelf.find(name), self._added / f"{name}.md"
            for record in records:
                self._shelf.remove(record)
            gone = [record.name for record in records]
            if not gone and entry.parent == self._added and entry.is_file():
                entry.unlink()
                gone.append(name)
            if gone:
                self._build(*self._read_all())
        return gone

    def rebuild(self) -> Sequence[KnowledgeError]:
        """Makes everything again from the kept sources; an error for each that cannot be read."""
        with self._writing():
            broken = [*self._shelf.mend()]
            (self._folder / VECTORS).unlink(missing_ok=True)
            self._build(*self._read_all())
        return broken

    def export(self, folder: Path) -> int:
        """Copies the added entries and the sources of all documents into a new folder; the number of files."""
        folder.mkdir(parents=True)
        files = {f"entries/{path.name}": path for path in self._added.glob("*.md")}
        for record in self._shelf.list():
            name = record.name if record.name not in files else f"{record.key}/{record.name}"
            files[name] = self._shelf.source(record)
        for name, source in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / name)
        return len(files)

    def _take(
        self, file: Path, root: Path, product: str | None, seen: set[str], known: Mapping[str, Entry]
    ) -> tuple[str, State]:
        """What became of one file; the caller holds the lock."""
        if not is_entry(file):
            record, state = self._shelf.keep(file, root, product)
            return record.name, state
        entry = _new_entry(file, seen)
        seen.add(entry.id)
        before = known.get(entry.id)
        if entry == before:
            return entry.id, "unchanged"
        write_atomically(self._added / f"{entry.id}.md", file.read_bytes())
        return entry.id, "added" if before is None else "changed"

    def _forget_gone(self, root: Path, report: AddReport, told: Told) -> None:
        for record in self._shelf.list():
            if record.root == str(root) and not (root / record.name).exists():
                with self._writing():
                    self._shelf.remove(record)
                report.removed.append(record.name)
                told(root / record.name, "removed")

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

    def _read_all(self) -> tuple[dict[str, Entry], Sequence[Chunk]]:
        chunks = [chunk for record in self._shelf.list() for chunk in self._shelf.chunks(record)]
        return self._read(), chunks

    def _current(self) -> View:
        with self._mutex:
            if self._view is None or self._view.stamp != self._stamp():
                self._view = self._open()
            return self._view

    def _open(self) -> View:
        stamp = self._stamp()
        entries, chunks = self._read_all()
        view = self._sound_view(entries, chunks, stamp)
        if view is None:
            with self._writing():
                entries, chunks = self._read_all()
                view = self._sound_view(entries, chunks, self._stamp()) or self._build(entries, chunks)
        return view

    def _sound_view(
        self, entries: Mapping[str, Entry], chunks: Sequence[Chunk], stamp: tuple[int, int] | None
    ) -> View | None:
        manifest, texts = read_manifest(self._manifest), texts_of(entries, chunks)
        if manifest is None or manifest != describe(manifest.index, entries.values(), self._shelf.digest(), texts):
            return None
        folder, items = self._folder / manifest.index, items_of(entries, chunks)
        vectors = open_index(folder, texts)
        if vectors is None:
            return None
        return _view(entries, items, WordIndex.opened(folder / _WORDS, items), vectors, stamp)

    def _build(self, entries: Mapping[str, Entry], chunks: Sequence[Chunk]) -> View:
        """A new index beside the one in use, which others may still be reading; older ones are removed."""
        before, texts, items = read_manifest(self._manifest), texts_of(entries, chunks), items_of(entries, chunks)
        manifest = describe(f"index-{uuid4().hex}", entries.values(), self._shelf.digest(), texts)
        folder = self._folder / manifest.index
        vectors = build_index(folder, texts, self._vectors(texts, chunks))
        words = WordIndex.of(items)
        words.save(folder / _WORDS)
        write_manifest(self._manifest, manifest)
        for old in self._folder.glob("index-*"):
            if old.name not in {manifest.index, before.index if before else ""}:
                shutil.rmtree(old, ignore_errors=True)
        return _view(entries, items, words, vectors, self._stamp())

    def _vectors(self, texts: Sequence[Embedded], chunks: Sequence[Chunk]) -> dict[str, Vector]:
        """Vectors of the texts; those of entries that do not come with the shipped ones are kept in the home."""
        shipped = read_vectors(self._shipped / VECTORS)
        kept = read_vectors(self._folder / VECTORS)
        shelved = self._shelf.vectors() if chunks else {}
        of_chunks = {chunk.id for chunk in chunks}
        vectors = embed_passages((text.text for text in texts if text.id not in of_chunks), shipped | kept)
        own = {key: vector for key, vector in vectors.items() if key not in shipped}
        if own.keys() != kept.keys():
            write_vectors(self._folder / VECTORS, own)
        return vectors | embed_passages((text.text for text in texts if text.id in of_chunks), shelved)

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


def _view(
    entries: Mapping[str, Entry], items: Items, words: WordIndex, vectors: VectorIndex, stamp: tuple[int, int] | None
) -> View:
    return View(entries, items, ProductMap(items.values()), words, vectors, stamp)


def _passage(item: Entry | Chunk, language: Language, product: str | None, score: float) -> Passage:
    about = product_of(item, product)
    return item.passage(about, score) if isinstance(item, Chunk) else passage(item, language, about, score)


def files_below(folder: Path) -> Sequence[Path]:
    """The files that `add` takes: all but hidden ones, or the file itself."""
    if folder.is_file():
        return [folder]
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _new_entry(path: Path, seen: Container[str]) -> Entry:
    """The entry in a file of a folder that is being added, unless its id was `seen` in another file."""
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
