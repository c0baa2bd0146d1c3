"""Documents of a plant: read, cut into passages that can be cited, and kept in the home."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

SUFFIXES: Final = (".md", ".markdown", ".txt", ".pdf", ".docx", ".csv", ".xlsx", ".json")
State = Literal["added", "changed", "unchanged", "removed", "refused", "skipped"]


@dataclass(frozen=True)
class Section:
    """A piece of a document under one heading, `page` from 1; product and defect only where it names its own."""

    heading: str
    text: str
    page: int | None = None
    product: str | None = None
    defect: str | None = None


@dataclass(frozen=True)
class Read:
    """What a file says: its title, its sections in order, and what its front matter says of all of them."""

    title: str
    sections: tuple[Section, ...]
    about: Mapping[str, str] = field(default_factory=dict)
