"""The bench as one self-contained HTML page: tables, and the worst cases as pictures; no script, everything escaped."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from evals.detector_bench.report import LIMITS, SHOWN, Report, rows
from tools.detectors import Pixels
from tools.image import jpeg


def render_page(reports: Sequence[Report], seeds: int) -> str:
    """The page as text."""
    place = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=place, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    made = datetime.now(UTC).isoformat(timespec="minutes")
    return environment.get_template("page.html").render(
        reports=reports, rows=rows, shown=SHOWN, picture=_picture, seeds=seeds, made=made, limits=LIMITS
    )


def _picture(pixels: Pixels) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg(pixels, quality=85)).decode()}"
