"""A sheet as one self-contained HTML page that prints on A4: no script, no request, everything escaped."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from agent.report.blocks import Sheet
from agent.shown import visible

TEMPLATES = Path(__file__).parents[1] / "templates"


def render_html(sheet: Sheet) -> str:
    """The page as text."""
    return environment().get_template("report.html").render(sheet=sheet)


@cache
def environment() -> Environment:
    """Where pages of reports come from: every text is escaped and its control characters are spelled out."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["jpeg"] = _address
    made.tests["of_kind"] = lambda block, name: type(block).__name__ == name
    return made


def _address(jpeg: bytes) -> Markup:
    return Markup(f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}")
