"""A file to sections, by its kind; every kind is parsed by the library that its field uses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import frontmatter
import yaml
from frontmatter.default_handlers import YAMLHandler

from knowledge_base.documents import SUFFIXES, Read, Section
from knowledge_base.entry import KnowledgeError

MOST_BYTES: Final = 64 * 2**20
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def read_document(path: Path) -> Read:
    """What a file says; KnowledgeError for one that is broken, too large, empty or of another kind."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise KnowledgeError(path, "is of a kind that is not read", f"bring it as one of {', '.join(SUFFIXES)}")
    if _size(path) > MOST_BYTES:
        raise KnowledgeError(path, f"is larger than {MOST_BYTES // 2**20} MB", "split it")
    found = reader(path)
    sections = tuple(section for section in map(_clean, found.sections) if section.text)
    if not sections:
        raise KnowledgeError(path, "has no text in it", "a scan needs text recognition (OCR) first")
    return Read(_line(found.title), sections, {name: _line(text) for name, text in found.about.items()})


def plain_text(path: Path) -> str:
    """The text of a file in UTF-8, or as older Chinese systems write it (GB 18030)."""
    raw = path.read_bytes()
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise KnowledgeError(path, "is neither UTF-8 nor GB 18030 text", "save it as UTF-8")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise KnowledgeError(path, f"cannot be read ({error.strerror})", "check the file and its rights") from None


def _clean(section: Section) -> Section:
    """The section without characters that act on a terminal or hide from a reader."""
    lines = (" ".join(line.split()) for line in _UNSEEN.sub("", section.text).splitlines())
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    product, defect = (name and (_line(name) or None) for name in (section.product, section.defect))
    return Section(_line(section.heading), text, section.page, product, defect)


def _line(text: str) -> str:
    return " ".join(_UNSEEN.sub("", text).split())[:200]


def _markdown(path: Path) -> Read:
    text = plain_text(path)
    try:
        about, body = frontmatter.parse(text, handler=YAMLHandler())
    except (yaml.YAMLError, ValueError):  # a rule of dashes at the top is no front matter
        about, body = {}, text
    headings = list(_headings(body))
    lines = body.splitlines()
    title = next((name for level, name, _, _ in headings if level == 1), "")
    starts = [(0, "", 0), *((level, name, end) for level, name, _, end in headings)]
    ends = [start for _, _, start, _ in headings] + [len(lines)]
    sections = []
    trail: dict[int, str] = {}
    for (level, name, start), end in zip(starts, ends, strict=True):
        trail = {above: heading for above, heading in trail.items() if above < level} | ({level: name} if name else {})
        below_title = [heading for heading in trail.values() if heading != title]
        sections.append(Section(" › ".join(below_title), "\n".join(lines[start:end])))
    return Read(title, tuple(sections), {str(name): str(value) for name, value in about.items()})


def _headings(body: str) -> Iterator[tuple[int, str, int, int]]:
    """Level, text, first line and line after each heading."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").parse(body)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open" and opening.map and opening.level == 0:
            yield int(opening.tag[1:]), inline.content, opening.map[0], opening.map[1]


def _text(path: Path) -> Read:
    return Read("", (Section("", plain_text(path)),))


def _json(path: Path) -> Read:
    """MMAD's domain_knowledge.json: data set, object and defect name a text each."""
    try:
        told = json.loads(plain_text(path))
        sections = tuple(_sheets(told))
    except (ValueError, AttributeError, RecursionError):
        cause = "is not MMAD's domain_knowledge.json (data set, object, defect: text)"
        raise KnowledgeError(path, cause, "bring other JSON as text or CSV") from None
    return Read("", sections)


def _sheets(told: Mapping[str, Any]) -> Iterator[Section]:
    for dataset, objects in told.items():
        for name, sheet in objects.items():
            for defect, text in sheet.items():
                if not isinstance(text, str):
                    raise ValueError(defect)
                yield Section(f"{dataset}/{name} › {defect}", text, product=name, defect=defect)


def _csv(path: Path) -> Read:
    from knowledge_base.documents.tables import read_csv

    return read_csv(path)


def _xlsx(path: Path) -> Read:
    from knowledge_base.documents.tables import read_xlsx

    return read_xlsx(path)


def _docx(path: Path) -> Read:
    from knowledge_base.documents.office import read_docx

    return read_docx(path)


def _pdf(path: Path) -> Read:
    from knowledge_base.documents.office import read_pdf

    return read_pdf(path)


_READERS: Final[dict[str, Callable[[Path], Read]]] = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".txt": _text,
    ".json": _json,
    ".csv": _csv,
    ".xlsx": _xlsx,
    ".docx": _docx,
    ".pdf": _pdf,
}
