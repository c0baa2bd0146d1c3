"""Tables to sections: a row is a passage, and its columns say what it is about."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from knowledge_base.documents import Read, Section
from knowledge_base.entry import KnowledgeError

MOST_ROWS: Final = 100_000
PRODUCT: Final = {"product", "part", "object", "component", "产品", "产品名称", "零件", "部件", "物料"}
DEFECT: Final = {
    "defect",
    "defect type",
    "defect_type",
    "fault",
    "flaw",
    "缺陷",
    "缺陷名称",
    "缺陷类型",
    "不良",
    "不良现象",
}


def read_csv(path: Path) -> Read:
    """A section for each row of a CSV file with a header, whatever separates its columns."""
    from knowledge_base.documents.reading import plain_text

    text = plain_text(path)
    try:
        dialect: type[csv.Dialect] | csv.Dialect = csv.Sniffer().sniff(text[:8192], ",;\t|")
    except csv.Error:
        dialect = csv.excel
    try:
        return Read("", tuple(_rows("", csv.reader(io.StringIO(text, newline=""), dialect))))
    except csv.Error as error:
        raise KnowledgeError(path, f"is not CSV ({error})", "save it as CSV again") from None


def read_xlsx(path: Path) -> Read:
    """A section for each row of each sheet, the first row of a sheet being its header."""
    from zipfile import BadZipFile

    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    from knowledge_base.documents.office import check_archive

    check_archive(path)
    try:
        book = load_workbook(path, read_only=True, data_only=True)
        with_cells = [sheet for sheet in book.worksheets if sheet.max_row]
        several = len(with_cells) > 1
        sections = [
            section
            for sheet in with_cells
            for section in _rows(sheet.title if several else "", sheet.iter_rows(values_only=True))
        ]
        book.close()
    except (BadZipFile, InvalidFileException, KeyError, ValueError, TypeError) as error:
        raise KnowledgeError(path, f"is not a workbook ({error})", "save it as XLSX again") from None
    return Read("", tuple(sections))


def _rows(sheet: str, rows: Iterable[Sequence[object]]) -> Iterator[Section]:
    filled = (cells for row in rows if any(cells := [_cell(cell) for cell in row]))
    header = next(filled, [])
    for cells in islice(filled, MOST_ROWS):
        told = [(name, cell) for name, cell in zip(header, cells, strict=False) if cell]
        defect = _first(told, DEFECT)
        heading = defect or next((cell for _, cell in told), "")
        text = "\n".join(f"{name}: {cell}" if name else cell for name, cell in told)
        yield Section(" › ".join(filter(None, (sheet, heading))), text, product=_first(told, PRODUCT), defect=defect)


def _cell(value: object) -> str:
    return "" if value is None else str(value).strip()


def _first(told: Sequence[tuple[str, str]], names: set[str]) -> str | None:
    return next((cell for name, cell in told if name.casefold() in names), None)
