"""What has to be in the index for it to agree with the entries and with the embedding model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from knowledge_base.embedding import DIMENSION, embedding_name, text_key
from knowledge_base.entry import Entry
from knowledge_base.files import write_atomically
from knowledge_base.index import documents


class Manifest(BaseModel):
    """The index folder in use, the digest of its entries, and the model, size and number of its vectors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: str = Field(pattern=r"^index-[0-9a-f]+$")
    digest: str
    embedding: str
    dimension: int
    documents: int


def describe(index: str, entries: Iterable[Entry]) -> Manifest:
    """The manifest of an index of these entries, in their order."""
    entries = list(entries)
    texts = [document.text for document in documents(entries)]
    return Manifest(
        index=index,
        digest=text_key("\n".join([*(entry.model_dump_json() for entry in entries), *texts])),
        embedding=embedding_name(),
        dimension=DIMENSION,
        documents=len(texts),
    )


def read_manifest(path: Path) -> Manifest | None:
    """The manifest in a file; None when there is none or it is damaged."""
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Puts the index of a manifest in use, at once."""
    write_atomically(path, manifest.model_dump_json(indent=2).encode())
