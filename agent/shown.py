"""How words reach a terminal or a pipe.

Text from models, documents and file names is data. It reaches rich only as `Text` that went through `visible`, never
as markup. On a terminal lines are wrapped; in a pipe there are no colours and every line stays whole.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

Part = str | tuple[str, str]  # words, or words with a style
WIDEST = 110  # columns on a terminal; longer lines are tiring to read
UNWRAPPED = 100_000  # columns in a pipe
WIDEST_CELL = 24

# Control characters, surrogates of undecodable file names, and marks that reorder or hide text.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    r"""The text with control and invisible characters spelled out (`\x1b`); line feeds and tabs stay."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text.replace("\r\n", "\n"))


def show(*blocks: RenderableType) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A Chinese entry on a Latin-1 terminal is shown in escapes and not as a traceback.
        sys.stdout.reconfigure(errors="backslashreplace")
    console = Console(highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        console.width = min(console.width, WIDEST)
        console.print(Group(*blocks), crop=False)
        return
    console.width = UNWRAPPED
    with console.capture() as captured:
        console.print(Group(*blocks), crop=False)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().removesuffix("\n").split("\n"))


def text_of(*parts: Part) -> Text:
    """The one way of foreign text into rich: plain strings, or pairs of string and style."""
    styled = (part if isinstance(part, tuple) else (part, "") for part in parts)
    return Text.assemble(*((visible(words), style) for words, style in styled))


def one_line(text: str) -> str:
    """A file or product name on one line."""
    return text.replace("\n", "\\n")


def counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def indented(block: RenderableType, by: int = 2) -> Padding:
    return Padding(block, (0, 0, 0, by), expand=False)


def rows_of(rows: Sequence[Sequence[Part]], header: Sequence[str] = (), *, cut: bool = True) -> Table:
    """A borderless table; where the terminal is too narrow its last column is cut, or wrapped."""
    cells = [[text_of(one_line(part) if cut and isinstance(part, str) else part) for part in row] for row in rows]
    table = Table(box=None, show_header=bool(header), header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    *first, _ = zip(*cells, strict=True)
    for number, column in enumerate(first):
        widest = min(WIDEST_CELL, max(cell.cell_len for cell in column))
        table.add_column(header[number] if header else "", no_wrap=True, min_width=widest)
    table.add_column(header[-1] if header else "", overflow="ellipsis" if cut else "fold")
    for row in cells:
        # On the column, no_wrap would make rich shorten all the others as well.
        row[-1].no_wrap = cut
        table.add_row(*row)
    return table


def whole(line: str) -> Text:
    """A line to copy: it runs over the edge of a terminal and has no line feed in it."""
    text = text_of(one_line(line))
    text.no_wrap, text.overflow = True, "ignore"
    return text
