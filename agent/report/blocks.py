"""What a page is made of, in one language and in no format: headings over blocks of plain text."""

from __future__ import annotations

from dataclasses import dataclass

from agent.diagnosis import Language


@dataclass(frozen=True)
class Facts:
    """Labels with their values."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Lines:
    """Points of a list."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Grid:
    """A table; `widths` are the columns' shares of the page."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    widths: tuple[float, ...]


@dataclass(frozen=True)
class Figure:
    """A JPEG with what it shows; None where the picture is missing."""

    caption: str
    jpeg: bytes | None


@dataclass(frozen=True)
class Figures:
    """Pictures side by side."""

    items: tuple[Figure, ...]


@dataclass(frozen=True)
class Card:
    """One numbered thing with its facts."""

    number: int
    title: str
    kind: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Signature:
    """Lines to sign on: `lines` are written on, `choices` are ticked."""

    lines: tuple[str, ...]
    label: str
    choices: tuple[str, ...]


Block = Facts | Lines | Paragraph | Grid | Figures | Card | Signature


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; `kind` is "warning" or empty."""

    heading: str
    blocks: tuple[Block, ...]
    kind: str = ""


@dataclass(frozen=True)
class Sheet:
    """A whole report; `kind` is its state, which decides the banner's colour and nothing else."""

    language: Language
    title: str
    kind: str
    banner: str
    statement: str
    head: Facts
    sections: tuple[Section, ...]
    missing: str
    page: str
    footer: str
