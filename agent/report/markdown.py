"""A sheet as Markdown with its pictures beside it; no text can become markup, a link or HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from agent.report.blocks import Block, Card, Facts, Figures, Grid, Lines, Paragraph, Section, Sheet, Signature
from agent.shown import visible

ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", ":": "&#58;"}
_MARKUP = re.compile(r"([\\`*_\[\]|~$])")
_ADDRESS = re.compile(r":(?=//)|(?<=www)\.|@", re.IGNORECASE)
_LIST = re.compile(r"^(\d+)([.)])(?=\s|$)")
_LEADING = re.compile(r"^([#+=-])")


def render_markdown(sheet: Sheet, stem: str) -> tuple[str, Mapping[str, bytes]]:
    """The text, and the pictures that belong beside it by their file names, which begin with `stem`."""
    pictures: dict[str, bytes] = {}
    lines = [f"# {plain(sheet.title)}", f"**{plain(sheet.banner)}**", plain(sheet.statement)]
    lines += ["\n".join(_facts(sheet.head.rows))]
    for section in sheet.sections:
        lines += _section(section, stem, pictures, sheet.missing)
    lines.append(f"---\n\n{plain(sheet.footer)}")
    return "\n\n".join(lines) + "\n", pictures


def plain(text: str) -> str:
    """The text on one line, with nothing in it that Markdown or HTML would read as markup."""
    one_line = " ".join(visible(text).split())
    safe = "".join(ENTITIES[letter] if letter in "&<>" else letter for letter in one_line)
    safe = _MARKUP.sub(r"\\\1", safe)
    safe = _ADDRESS.sub(lambda found: ENTITIES.get(found[0], "&#46;"), safe)
    return _LEADING.sub(r"\\\1", _LIST.sub(r"\1\\\2", safe))


def _section(section: Section, stem: str, pictures: dict[str, bytes], missing: str) -> Iterator[str]:
    yield f"## {plain(section.heading)}"
    for block in section.blocks:
        if isinstance(block, Figures):
            yield from _figures(block, stem, pictures, missing)
        else:
            yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Facts(rows):
            yield "\n".join(_facts(rows))
        case Lines(items):
            yield "\n".join(f"- {plain(item)}" for item in items)
        case Paragraph(text):
            yield plain(text)
        case Grid(header, rows, _):
            yield "\n".join([_row(header), _ruler(len(header)), *map(_row, rows)])
        case Card(number, title, _, rows):
            yield f"### {number}. {plain(title)}"
            yield "\n".join(_facts(rows))
        case Signature(lines, label, choices):
            yield "\n".join(f"- {plain(line)}: \\_\\_\\_\\_\\_\\_\\_\\_\\_\\_" for line in lines)
            yield f"{plain(label)}: " + "  ".join(f"☐ {plain(choice)}" for choice in choices)


def _facts(rows: Sequence[tuple[str, str]]) -> list[str]:
    return [f"- **{plain(label)}**: {plain(text)}" for label, text in rows]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(plain, cells))} |"


def _ruler(columns: int) -> str:
    return f"|{' --- |' * columns}"


def _figures(block: Figures, stem: str, pictures: dict[str, bytes], missing: str) -> Iterator[str]:
    for figure in block.items:
        if figure.jpeg is None:
            yield f"*{plain(missing)}* {plain(figure.caption)}"
            continue
        name = f"{stem}-{len(pictures) + 1}.jpg"
        pictures[name] = figure.jpeg
        yield f"![{plain(figure.caption)}]({quote(name)})\n\n{plain(figure.caption)}"
