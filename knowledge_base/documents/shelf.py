"""The documents in the home: a record and the source of each are the truth, chunks and vectors are made from them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from knowledge_base.documents import State
from knowledge_base.documents.chunks import Chunk, chunks_of
from knowledge_base.documents.reading import read_document
from knowledge_base.embedding import Vector, embed_passages, read_vectors, text_key, write_vectors
from knowledge_base.entry import KnowledgeError
from knowledge_base.files import write_atomically

CUT: Final = 1  # version of reading and cutting
_FOLDERS: Final = ("sources", "chunks", "vectors")
_LOG = logging.getLogger(__name__)


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("leads out of its folder")
    return name


class Record(BaseModel):
    """One kept document: the file's `name` below the folder `root` that was added, and what was made of it.

    `sha256` is that of the source, `chunks` that of the file of its chunks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["flawlens-document-1"] = "flawlens-document-1"
    key: str = Field(pattern="^[a-z0-9_-]+$")
    name: Annotated[str, AfterValidator(_inside)]
    root: str
    title: str
    product: str | None
    sha256: str
    suffix: str = Field(pattern=r"^\.[a-z]+$")
    chunks: str = Field(pattern="^[0-9a-f]{64}$")
    passages: int
    cut: int


class Shelf:
    """The documents kept in `folder`; one is there whole or not at all, whenever a process ends.

    Methods that write are called by one process at a time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list(self) -> Sequence[Record]:
        """All documents, by name; a damaged record is told in the log."""
        found = [record for path in self._record_files() if (record := _record(path))]
        return sorted(found, key=lambda record: (record.name, record.key))

    def find(self, name: str) -> Sequence[Record]:
        """The documents of this key or name, or below a folder of this name."""
        asked = name.strip("/")
        return [one for one in self.list() if asked in (one.key, one.name) or one.name.startswith(f"{asked}/")]

    def digest(self) -> str:
        """Tells one state of the shelf from the next."""
        return text_key("\n".join(f"{record.key} {record.chunks}" for record in self.list()))

    def chunks(self, record: Record) -> Sequence[Chunk]:
        """The chunks of a document, cut again from its source when they are damaged."""
        try:
            raw = self._file("chunks", record).read_bytes()
            if _sha256(raw) == record.chunks:
                return [Chunk.of(told) for told in json.loads(raw)]
        except OSError:
            pass
        try:
            return list(chunks_of(read_document(self.source(record)), record.key, record.name, record.product))
        except KnowledgeError as error:
            _LOG.warning("%s", error)
            return []

    def vectors(self) -> dict[str, Vector]:
        """The kept vectors of all chunks by `text_key`; a damaged file has none."""
        found: dict[str, Vector] = {}
        for record in self.list():
            found |= read_vectors(self._file("vectors", record))
        return found

    def source(self, record: Record) -> Path:
        """The kept file; KnowledgeError when it is lost or not what was added."""
        path, remedy = self._file("sources", record), f"add {record.name} again"
        try:
            if _sha256(path.read_bytes()) == record.sha256:
                return path
        except OSError as error:
            raise KnowledgeError(path, f"cannot be read ({error.strerror})", remedy) from None
        raise KnowledgeError(path, "is not the file that was added", remedy)

    def keep(self, path: Path, root: Path, product: str | None) -> tuple[Record, State]:
        """Keeps a file unless it is kept already; KnowledgeError for one that cannot be read."""
        key = key_of(path)
        before = _record(self.folder / f"{key}.json")
        name = path.relative_to(root).as_posix() if path != root else path.name
        sha256 = _sha256(_bytes(path))
        if before and (before.sha256, before.product, before.cut) == (sha256, product, CUT):
            return before, "unchanged"
        return self._write(path, key, name, str(root), product), "changed" if before else "added"

    def remove(self, record: Record) -> None:
        """Forgets a document."""
        (self.folder / f"{record.key}.json").unlink(missing_ok=True)
        self._sweep(record.key, ())

    def mend(self) -> Iterator[KnowledgeError]:
        """Makes every document again from its source, a damaged record as well as it can be; what cannot be read."""
        for path in self._record_files():
            record = _record(path)
            source = next(iter(sorted(self.folder.glob(f"sources/{path.stem}.*"))), path)
            name = record.name if record else f"{path.stem}{source.suffix}"
            try:
                self._write(source, path.stem, name, record.root if record else "", record.product if record else None)
            except KnowledgeError as error:
                yield error

    def _write(self, path: Path, key: str, name: str, root: str, product: str | None) -> Record:
        """Writes everything of a document, the record last: it counts once all is there."""
        raw = _bytes(path)
        chunks = list(chunks_of(read_document(path), key, name, product))
        cut = json.dumps([chunk.plain() for chunk in chunks], ensure_ascii=False).encode()
        record = Record(
            key=key,
            name=name,
            root=root,
            title=chunks[0].title,
            product=product,
            sha256=_sha256(raw),
            suffix=path.suffix.lower(),
            chunks=_sha256(cut),
            passages=len(chunks),
            cut=CUT,
        )
        known = {
            text: vector for old in self.folder.glob(f"vectors/{key}.*") for text, vector in read_vectors(old).items()
        }
        for folder in _FOLDERS:
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        write_vectors(self._file("vectors", record), embed_passages((chunk.embedded for chunk in chunks), known))
        write_atomically(self._file("chunks", record), cut)
        write_atomically(self._file("sources", record), raw)
        write_atomically(self.folder / f"{key}.json", record.model_dump_json(indent=2).encode())
        self._sweep(key, [self._file(kind, record) for kind in _FOLDERS])
        return record

    def _sweep(self, key: str, needed: Sequence[Path]) -> None:
        for path in self.folder.glob(f"*/{key}.*"):
            if path not in needed:
                path.unlink(missing_ok=True)

    def _file(self, kind: str, record: Record) -> Path:
        names = {
            "sources": f"{record.sha256[:16]}{record.suffix}",
            "chunks": f"{record.chunks[:16]}.json",
            "vectors": f"{record.chunks[:16]}.safetensors",
        }
        return self.folder / kind / f"{record.key}.{names[kind]}"

    def _record_files(self) -> Sequence[Path]:
        return sorted(self.folder.glob("[!.]*.json"))


def key_of(path: Path) -> str:
    """What citations begin with: the file's name, and a few digits that tell files of one name apart."""
    slug = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")[:40] or "document"
    return f"{slug}-{_sha256(os.fsencode(path))[:6]}"


def _record(path: Path) -> Record | None:
    """The record in a file; None where there is none, or a damaged one, which the log tells."""
    try:
        return Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        _LOG.warning("%s", KnowledgeError(path, "is damaged", "mend it: flawlens knowledge rebuild"))
        return None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KnowledgeError(path, f"cannot be read ({error.strerror})", "check the file and its rights") from None


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
