"""What has to be in the index for it to agree with entries and documents and with the embedding model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from knowledge_base.embedding import DIMENSION, embedding_name, text_key
from knowledge_base.entry import Entry
from knowledge_base.files import write_atomically
from knowledge_base.index import Embedded


class Manifest(BaseModel):
    """The index folder in use, the digest of what is in it, and the model, size and number of its vectors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: str = Field(pattern=r"^index-[0-9a-f]+$")
    digest: str
    embedding: str
    dimension: int
    texts: int


def describe(index: str, entries: Iterable[Entry], documents: str, texts: Sequence[Embedded]) -> Manifest:
    """The manifest of an index of these entries, in their order, and of the documents of this digest."""
    told = [*(entry.model_dump_json() for entry in entries), documents, *(text.text for text in texts)]
    return Manifest(
        index=index,
        digest=text_key("\n".join(told)),
        embedding=embedding_name(),
        dimension=DIMENSION,
        texts=len(texts),
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
