"""Sections to chunks: pieces short enough for the embedding model, cut between sentences."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any, Final

from knowledge_base.documents import Read
from knowledge_base.entry import Language
from knowledge_base.passage import MOST_CHARACTERS, Passage
from knowledge_base.products import GENERAL

_CHINESE = re.compile("[\u3400-\u9fff]")
# A Chinese character tells about as much as two and a half Latin ones, and takes as many tokens.
_CHINESE_WIDTH: Final = 2.5
_SENTENCES = re.compile(r"(?<=[.!?;。！？；\n])\s*(?=\S)")


@dataclass(frozen=True)
class Chunk:
    """A passage of a document: `section` is the trail of headings above it, `page` counts from 1.

    `products` are the products it is about, none for any. `key` is the sha256 of its words.
    """

    id: str
    document: str
    title: str
    section: str
    text: str
    page: int | None
    language: Language
    products: tuple[str, ...]
    defect: str
    key: str

    @property
    def family(self) -> str:
        """Documents belong to no family of entries."""
        return GENERAL

    @property
    def embedded(self) -> str:
        """What is embedded: the headings belong to the meaning."""
        return f"{self.heading}\n{self.text}"

    @property
    def heading(self) -> str:
        """Title and section."""
        return " › ".join(filter(None, (self.title, self.section)))

    @property
    def place(self) -> str:
        """Where a person finds it: file and page."""
        return f"{self.document}, p. {self.page}" if self.page else self.document

    def passage(self, product: str, score: float) -> Passage:
        """This chunk as an answer about `product`."""
        return Passage(
            id=self.id,
            title=self.heading,
            product=product,
            defect=self.defect,
            language=self.language,
            score=score,
            text=self.text,
            source=self.place,
        )

    def plain(self) -> dict[str, Any]:
        """The fields as plain JSON."""
        return {**asdict(self), "products": list(self.products)}

    @classmethod
    def of(cls, told: dict[str, Any]) -> Chunk:
        """What `plain` wrote; TypeError or KeyError for anything else."""
        return cls(**{**told, "products": tuple(told["products"])})


def chunks_of(read: Read, key: str, name: str, product: str | None) -> Iterator[Chunk]:
    """The chunks of a document; a product that a section names itself goes before that of the document."""
    number, title = 0, read.title or PurePath(name).stem
    for section in read.sections:
        products = section.product or read.about.get("product") or product
        for text in pieces(section.text):
            number += 1
            yield Chunk(
                id=f"{key}-{number}",
                document=name,
                title=title,
                section=section.heading,
                text=text,
                page=section.page,
                language=language_of(text),
                products=(products,) if products else (),
                defect=section.defect or read.about.get("defect", ""),
                key=hashlib.sha256("".join(text.casefold().split()).encode()).hexdigest(),
            )


def language_of(text: str) -> Language:
    """Chinese when its characters carry more of the text than Latin ones do."""
    chinese = len(_CHINESE.findall(text))
    return "zh" if _CHINESE_WIDTH * chinese > len(text) - chinese else "en"


def pieces(text: str) -> list[str]:
    """The text, or parts of it of about equal width, each whole sentences where these are short enough."""
    total = width(text)
    if total <= MOST_CHARACTERS:
        return [text]
    target = total / -(-total // MOST_CHARACTERS)
    found = [""]
    for sentence in _short(_SENTENCES.split(text)):
        here = width(found[-1])
        if found[-1] and (here >= target or here + width(sentence) > MOST_CHARACTERS):
            found.append("")
        joint = "" if not found[-1] or found[-1].endswith("\n") or _CHINESE.match(sentence) else " "
        found[-1] += joint + sentence
    return [piece.strip() for piece in found]


def width(text: str) -> float:
    """Length in Latin characters of what the text tells."""
    return len(text) + (_CHINESE_WIDTH - 1) * len(_CHINESE.findall(text))


def _short(sentences: Iterable[str]) -> Iterator[str]:
    """The sentences, those that are too long for a chunk cut."""
    most = int(MOST_CHARACTERS / _CHINESE_WIDTH)
    for sentence in sentences:
        if width(sentence) <= MOST_CHARACTERS:
            yield sentence
        else:
            yield from (sentence[start : start + most] for start in range(0, len(sentence), most))
