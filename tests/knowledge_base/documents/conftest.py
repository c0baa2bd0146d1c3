"""Documents as plants have them, each written by the library of its kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Pdf = Callable[[Path, Sequence[str]], Path]


def _pdf(path: Path, pages: Sequence[str], password: str = "") -> Path:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfgen.canvas import Canvas

    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    canvas = Canvas(str(path), encrypt=password or None)
    for page in pages:
        canvas.setFont("STSong-Light", 12)
        for number, line in enumerate(page.splitlines()):
            canvas.drawString(72, 700 - 20 * number, line)
        canvas.showPage()
    canvas.save()
    return path


@pytest.fixture(scope="session")
def write_pdf() -> Callable[..., Path]:
    """Writes a PDF: write_pdf(path, pages, password="")."""
    return _pdf


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    """A folder with a document of every kind, in English and Chinese, and two files below a folder."""
    import docx
    import openpyxl

    folder = tmp_path / "plant"
    (folder / "line 2").mkdir(parents=True)
    (folder / "pump.md").write_text(
        "---\nproduct: pump\n---\n# Pump housing\n\nGeneral words.\n\n## Leak test\n\n"
        "Fill the housing with helium at 3 bar for 40 s.\n\n```\n# no heading\n```\n\n### Limit\n\n"
        "At most 2 ml a minute.\n",
        "utf-8",
    )
    (folder / "night.txt").write_text("The night shift changes the filter of the coolant every Monday.", "utf-8")
    (folder / "阳极氧化.txt").write_bytes("阳极氧化槽的温度保持在二十度，每班测量一次硫酸浓度。".encode("gb18030"))
    (folder / "defects.csv").write_text(
        "产品;缺陷;外观;处置\n轴承;麻点;滚道上的小坑;报废\n轴承;拖痕;沿滚动方向的亮线;抛光\n", "utf-8"
    )
    _pdf(folder / "rework.pdf", ["密封面划痕超过五毫米报废。", "Second page: polish with grit 400."])
    word = docx.Document()
    word.add_heading("Welding criteria", 1)
    word.add_paragraph("Porosity under 0.3 mm is accepted.")
    word.add_heading("Undercut", 2)
    word.add_paragraph("Undercut deeper than 0.5 mm is repaired by a second pass.")
    table = word.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "gas", "argon"
    word.save(str(folder / "line 2" / "welding.docx"))
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["product", "defect", "limit mm"])
    book.active.append(["brake disc", "run-out", 0.05])
    book.active.append([])
    book.active.append(["brake disc", "hot spot", 8])
    book.save(folder / "line 2" / "limits.xlsx")
    return folder
