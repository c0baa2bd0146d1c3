"""A sheet as PDF on A4; every text is escaped before reportlab reads its mini-markup."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from reportlab.lib.colors import HexColor, white
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    CondPageBreak,
    Flowable,
    Image,
    KeepTogether,
    SimpleDocTemplate,
    Spacer,
    Table,
    TableStyle,
)
from reportlab.platypus import Paragraph as Words

from agent.report.blocks import Block, Card, Facts, Figure, Figures, Grid, Lines, Paragraph, Section, Sheet, Signature
from agent.report.fonts import BOLD, LATIN, has_chinese, marked, register

MARGIN = 15 * mm
PADDING = 6  # points that reportlab keeps free around a frame
WIDTH = A4[0] - 2 * MARGIN
SPACE = "\xa0"  # reportlab makes one of several usual spaces
TALLEST = 95 * mm  # of a picture
INK, SOFT, LINE, TINT = (HexColor(code) for code in ("#17191c", "#5c6269", "#cfd3d7", "#f3f4f5"))
AMBER, RED = HexColor("#8a5300"), HexColor("#a81d18")
BANNERS = {"normal": HexColor("#1b6b3c"), "defective": RED, "answered": HexColor("#345a86")}
PLAIN = [
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("LEFTPADDING", (0, 0), (-1, -1), 4),
    ("RIGHTPADDING", (0, 0), (-1, -1), 4),
    ("TOPPADDING", (0, 0), (-1, -1), 2),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
]


def render_pdf(sheet: Sheet) -> bytes:
    """The document's bytes."""
    register()
    written = io.BytesIO()
    document = SimpleDocTemplate(
        written,
        pagesize=A4,
        leftMargin=MARGIN - PADDING,
        rightMargin=MARGIN - PADDING,
        topMargin=14 * mm,
        bottomMargin=17 * mm,
        title=f"{sheet.title}: {sheet.banner}",
        author="flawlens",
        lang=sheet.language,
    )
    story = [*_top(sheet), *(part for section in sheet.sections for part in _section(section, sheet.missing))]

    def foot(canvas: Canvas, _: Any) -> None:
        _foot(canvas, sheet)

    document.build(story, onFirstPage=foot, onLaterPages=foot)
    return written.getvalue()


def words(text: str, size: float = 9, **more: Any) -> Words:
    """A paragraph of foreign text; one with Chinese in it may be broken between any two of its letters."""
    style = {"fontName": LATIN, "textColor": INK, "splitLongWords": 1, **more}
    if has_chinese(text):
        style |= {"wordWrap": "CJK"}
    return Words(marked(text), ParagraphStyle("words", fontSize=size, leading=size * 1.38, **style))


def _foot(canvas: Canvas, sheet: Sheet) -> None:
    line = words(f"{sheet.footer}{3 * SPACE}{sheet.page} {canvas.getPageNumber()}", 8, textColor=SOFT)
    _, height = line.wrap(WIDTH, 10 * mm)
    line.drawOn(canvas, MARGIN, 11 * mm - height / 2)


def _top(sheet: Sheet) -> list[Flowable]:
    colour = BANNERS.get(sheet.kind, AMBER)
    inside = [
        [words(sheet.banner, 19, textColor=white, fontName=BOLD)],
        [words(sheet.statement, 10, textColor=white)],
    ]
    style = [("BACKGROUND", (0, 0), (-1, -1), colour), *PLAIN, ("LEFTPADDING", (0, 0), (-1, -1), 10)]
    style += [("TOPPADDING", (0, 0), (0, 0), 7), ("BOTTOMPADDING", (0, -1), (0, -1), 9)]
    banner = Table(inside, colWidths=[WIDTH], style=TableStyle(style))
    return [words(sheet.title, 11, textColor=SOFT), Spacer(1, 2 * mm), banner, Spacer(1, 3 * mm), _facts(sheet.head)]


def _section(section: Section, missing: str) -> list[Flowable]:
    colour = AMBER if section.kind == "warning" else INK
    title = Table(
        [[words(section.heading, 12, fontName=BOLD, textColor=colour)]],
        colWidths=[WIDTH],
        style=TableStyle([*PLAIN, ("LEFTPADDING", (0, 0), (-1, -1), 0), ("LINEBELOW", (0, 0), (-1, -1), 1.2, colour)]),
    )
    first, *rest = ([*_block(block, missing)] for block in section.blocks)
    head = [title, Spacer(1, 1.5 * mm), *first]
    after = [part for parts in rest for part in parts]
    if isinstance(section.blocks[0], Signature):
        return [Spacer(1, 4 * mm), KeepTogether([*head, *after])]
    if isinstance(section.blocks[0], Grid):
        # A table may be cut between its rows; a heading alone at the foot of a page may not be left.
        return [CondPageBreak(32 * mm), Spacer(1, 4 * mm), *head, *after]
    return [Spacer(1, 4 * mm), KeepTogether(head), *after]


def _block(block: Block, missing: str) -> list[Flowable]:
    match block:
        case Lines(items):
            return [words(item, bulletIndent=2, leftIndent=12, bulletText="•") for item in items]
        case Card():
            return [KeepTogether([_card(block), Spacer(1, 2.5 * mm)])]
        case Signature():
            return _signature(block)
        case Paragraph(text):
            return [words(text, spaceBefore=4)]
    return [_single(block, missing)]


def _single(block: Facts | Grid | Figures, missing: str) -> Flowable:
    match block:
        case Facts():
            return _facts(block)
        case Grid():
            return _grid(block)
    return _figures(block.items, missing)


def _facts(facts: Facts, width: float = WIDTH) -> Table:
    rows = [[words(label, textColor=SOFT), words(text)] for label, text in facts.rows]
    style = TableStyle([*PLAIN, ("LINEBELOW", (0, 0), (-1, -2), 0.4, TINT)])
    return Table(rows, colWidths=[width * 0.25, width * 0.75], style=style, splitInRow=1)


def _grid(grid: Grid) -> Table:
    header = [words(cell, fontName=BOLD) for cell in grid.header]
    rows = [header, *([words(cell, 8.5) for cell in row] for row in grid.rows)]
    style = TableStyle([*PLAIN, ("GRID", (0, 0), (-1, -1), 0.5, LINE), ("BACKGROUND", (0, 0), (-1, 0), TINT)])
    widths = [WIDTH * width for width in grid.widths]
    return Table(rows, colWidths=widths, style=style, repeatRows=1, splitInRow=1)


def _card(card: Card) -> Table:
    """Number and title over the facts; it may be split between pages."""
    colour = AMBER if card.kind == "minor" else RED
    title = words(f"{card.number}{2 * SPACE}{card.title}", 11, fontName=BOLD, textColor=colour)
    facts = [[words(label, textColor=SOFT), words(text)] for label, text in card.rows]
    style = TableStyle(
        [
            *PLAIN,
            ("SPAN", (0, 0), (-1, 0)),
            ("BOX", (0, 0), (-1, -1), 0.5, LINE),
            ("LINEBEFORE", (0, 0), (0, -1), 4, colour),
            ("LEFTPADDING", (0, 0), (0, -1), 10),
            ("LINEBELOW", (0, 1), (-1, -2), 0.4, TINT),
        ]
    )
    return Table([[title, ""], *facts], colWidths=[WIDTH * 0.25, WIDTH * 0.75], style=style, splitInRow=1)


def _figures(figures: Sequence[Figure], missing: str) -> Table:
    """Side by side, each as large as its half of the page allows."""
    width = WIDTH / 2 - 8
    pictures = [_picture(figure, width, missing) for figure in figures]
    captions = [words(figure.caption, 8, textColor=SOFT) for figure in figures]
    style = TableStyle([*PLAIN, ("LEFTPADDING", (0, 0), (-1, -1), 0)])
    return Table([pictures, captions], colWidths=[WIDTH / 2] * len(figures), style=style, hAlign="LEFT")


def _picture(figure: Figure, width: float, missing: str) -> Flowable:
    if figure.jpeg is None:
        return words(missing, textColor=SOFT)
    across, down = ImageReader(io.BytesIO(figure.jpeg)).getSize()
    scale = min(width / across, TALLEST / down)
    return Image(io.BytesIO(figure.jpeg), across * scale, down * scale, hAlign="LEFT")


def _signature(sign: Signature) -> list[Flowable]:
    """Lines to write on, then a box for each decision."""
    width = WIDTH / len(sign.lines)
    lines = Table(
        [[cell for line in sign.lines for cell in (words(line), "")]],
        colWidths=[part for _ in sign.lines for part in (width * 0.22, width * 0.7)],
        style=TableStyle([("LINEBELOW", (column, 0), (column, 0), 0.8, INK) for column in (1, 3)]),
        rowHeights=[12 * mm],
        hAlign="LEFT",
    )
    lines.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "BOTTOM"), ("LEFTPADDING", (0, 0), (0, -1), 0)]))
    choices = (6 * SPACE).join(f"\u2610{SPACE}{choice}" for choice in sign.choices)
    return [lines, Spacer(1, 4 * mm), words(f"{sign.label}{6 * SPACE}{choices}", 11)]
