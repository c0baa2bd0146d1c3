"""Fonts of a PDF: Helvetica for Latin, STSong-Light for Chinese, DejaVu Sans for what neither has."""

from __future__ import annotations

import re
from functools import cache
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

from agent.shown import visible

LATIN, BOLD, CHINESE, OTHER = "Helvetica", "Helvetica-Bold", "STSong-Light", "DejaVuSans"
_CHINESE_LETTER = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")


def marked(text: str) -> str:
    """The text as reportlab's mini-markup: escaped, each run in a font that has its letters."""
    letters = visible(text).replace("\t", "    ")
    runs = groupby(letters, key=font_of)
    return "".join(_in_font(font, "".join(run)) for font, run in runs).replace("\n", "<br/>")


def font_of(letter: str) -> str:
    """The name of a font that can draw this letter, or an empty one; Latin text keeps the font of its style."""
    if letter == "\n" or _encodes(letter, "cp1252"):
        return LATIN
    if _CHINESE_LETTER.match(letter) and _encodes(letter, "gbk"):
        return CHINESE
    return OTHER if ord(letter) < 0x10000 and ord(letter) in _others() else ""


def has_chinese(text: str) -> bool:
    return _CHINESE_LETTER.search(text) is not None


def register() -> None:
    """Make the fonts known to reportlab."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.ttfonts import TTFont

    pdfmetrics.registerFont(UnicodeCIDFont(CHINESE))
    pdfmetrics.registerFont(TTFont(OTHER, str(_file())))


def _in_font(font: str, run: str) -> str:
    if font == LATIN:
        return escape(run)
    if not font:
        return escape("".join(ascii(letter)[1:-1] for letter in run))
    return f'<font name="{font}">{escape(run)}</font>'


def _encodes(letter: str, encoding: str) -> bool:
    try:
        return bool(letter.encode(encoding))
    except UnicodeEncodeError:
        return False


def _file() -> Path:
    """DejaVu Sans comes with matplotlib."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@cache
def _others() -> frozenset[int]:
    from reportlab.pdfbase.ttfonts import TTFontFile

    return frozenset(TTFontFile(str(_file())).charToGlyph)
