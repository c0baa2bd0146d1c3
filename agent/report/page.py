"""A sheet as one self-contained HTML page that prints on A4: no script, no request, everything escaped."""

from __future__ import annotations

import base64
from functools import cache

from jinja2 import Environment
from markupsafe import Markup

from agent.page import escaping
from agent.report.blocks import Sheet


def render_html(sheet: Sheet) -> str:
    """The page as text."""
    return environment().get_template("report.html").render(sheet=sheet)


@cache
def environment() -> Environment:
    """Where pages of reports come from."""
    made = escaping()
    made.filters["jpeg"] = _address
    made.tests["of_kind"] = lambda block, name: type(block).__name__ == name
    return made


def _address(jpeg: bytes) -> Markup:
    return Markup(f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}")
