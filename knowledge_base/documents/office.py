"""PDF and Word files to sections."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zipfile import BadZipFile, ZipFile

from knowledge_base.documents import Read, Section
from knowledge_base.entry import KnowledgeError

if TYPE_CHECKING:
    from docx.document import Document
    from docx.table import Table
    from docx.text.paragraph import Paragraph

MOST_PAGES: Final = 5000
MOST_UNPACKED: Final = 512 * 2**20
_HEADING = re.compile(r"(?:heading|标题)\s*(\d)$|title$", re.I)


def check_archive(path: Path) -> None:
    """KnowledgeError for a file that is no ZIP archive, as Office files are, or that unpacks to far too much."""
    try:
        with ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (BadZipFile, OSError) as error:
        raise KnowledgeError(
            path, f"cannot be opened ({error})", "save it again; a protected file must be freed"
        ) from None
    if unpacked > MOST_UNPACKED:
        raise KnowledgeError(path, f"unpacks to more than {MOST_UNPACKED // 2**20} MB", "split it")


def read_pdf(path: Path) -> Read:
    """A section for each page; KnowledgeError for a locked or broken file."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.ERROR)
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise KnowledgeError(path, "is locked by a password", "save a copy without one")
        pages = [page.extract_text() for page in islice(reader.pages, MOST_PAGES)]
        title = (reader.metadata.title if reader.metadata else None) or ""
    except (PyPdfError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise KnowledgeError(path, f"is not a readable PDF ({type(error).__name__})", "save it as PDF again") from None
    return Read(title, tuple(Section("", text, page=number) for number, text in enumerate(pages, 1)))


def read_docx(path: Path) -> Read:
    """A section for each heading; tables become lines of their cells."""
    import docx
    from docx.opc.exceptions import PackageNotFoundError

    check_archive(path)
    try:
        document = docx.Document(str(path))
        sections = tuple(_sections(document))
    except (PackageNotFoundError, KeyError, ValueError, AttributeError) as error:
        raise KnowledgeError(path, f"is not a Word document ({error})", "save it as DOCX again") from None
    return Read(document.core_properties.title or "", sections)


def _sections(document: Document) -> Iterator[Section]:
    trail: dict[int, str] = {}
    lines: list[str] = []
    for block in document.iter_inner_content():
        level = _level(block)
        if level is None:
            lines.append(_said(block))
            continue
        yield Section(" › ".join(trail.values()), "\n".join(lines))
        lines = []
        trail = {above: name for above, name in trail.items() if above < level} | {level: _said(block)}
    yield Section(" › ".join(trail.values()), "\n".join(lines))


def _level(block: Paragraph | Table) -> int | None:
    from docx.text.paragraph import Paragraph

    style = block.style if isinstance(block, Paragraph) else None
    found = _HEADING.match(style.name or "") if style is not None else None
    return int(found[1] or 0) if found else None


def _said(block: Paragraph | Table) -> str:
    from docx.text.paragraph import Paragraph

    if isinstance(block, Paragraph):
        return block.text
    rows = ([cell.text.strip() for cell in row.cells] for row in block.rows)
    # merged cells are told once
    return "\n".join(" | ".join(dict.fromkeys(filter(None, cells))) for cells in rows)
