"""The report as one self-contained HTML page: no script, no request, everything from models and files escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from evals.mmad.compare import Paired
from evals.mmad.report import COLUMNS, RunReport, cost_of, described, verdict_of, wrong_answers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#2f6db5", "#c9622b", "#3f8f5b", "#8a5aa8", "#9a8a2c", "#5f6b76")


def render_report(
    reports: Sequence[RunReport],
    published: dict[str, dict[str, float]],
    pairs: Sequence[tuple[str, str, Paired]],
    out: Path,
) -> str:
    """The page as text; traces are linked relative to the folder `out`."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html").render(
        reports=reports,
        published=published,
        pairs=[described(*pair) for pair in pairs],
        columns=COLUMNS,
        plots=_plots(reports),
        wrong={one.name: wrong_answers(one, out) for one in reports},
        cost=cost_of,
        verdict=verdict_of,
        made=datetime.now(UTC).isoformat(timespec="minutes"),
    )


def _plots(reports: Sequence[RunReport]) -> list[tuple[str, str]]:
    """Each plot as a description and a data address."""
    from matplotlib.figure import Figure

    found = []
    for text, draw, size in (
        ("Right answers by subtask", _bars, (8.2, 3.4)),
        ("Reliability: share of defective parts against the fused score", _reliability, (4.0, 3.4)),
        ("Average against seconds a picture", _cost, (4.0, 3.4)),
    ):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots(), reports)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
        found.append((text, f"data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode()}"))
    return found


def _bars(axes: Axes, reports: Sequence[RunReport]) -> None:
    names = [name for name in COLUMNS if any(name in one.row for one in reports)]
    width = 0.8 / len(reports)
    for number, one in enumerate(reports):
        places = [index + width * (number - (len(reports) - 1) / 2) for index in range(len(names))]
        values = [one.row.get(name, 0.0) for name in names]
        axes.bar(places, values, width, label=_plain(one.name), color=COLOURS[number % len(COLOURS)])
    axes.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names], fontsize=8)
    axes.set_ylim(0, 100)
    axes.set_ylabel("% right")
    axes.legend(fontsize=8)


def _reliability(axes: Axes, reports: Sequence[RunReport]) -> None:
    axes.plot([0, 1], [0, 1], color="#888", linewidth=0.8, linestyle="--")
    for number, one in enumerate(reports):
        curve = one.scores["verdict"]["reliability"]
        xs, ys = [point["score"] for point in curve], [point["share"] for point in curve]
        axes.plot(xs, ys, marker="o", markersize=4, label=_plain(one.name), color=COLOURS[number % len(COLOURS)])
    axes.set_xlabel("fused score")
    axes.set_ylabel("share defective")
    axes.set_ylim(-0.02, 1.02)


def _cost(axes: Axes, reports: Sequence[RunReport]) -> None:
    for number, one in enumerate(reports):
        seconds, average = one.scores["cost"]["seconds_per_image"], one.scores["average"]
        if average is not None:
            axes.plot([seconds], [average], marker="o", color=COLOURS[number % len(COLOURS)])
            axes.annotate(_plain(one.name), (seconds, average), fontsize=8, xytext=(4, 4), textcoords="offset points")
    axes.set_xlabel("seconds a picture")
    axes.set_ylabel("average, %")


def _plain(name: str) -> str:
    """A name without what matplotlib reads as mathematics."""
    return name.replace("$", r"\$")
