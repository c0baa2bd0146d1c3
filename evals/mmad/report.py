"""Runs side by side, beside published ones: as Markdown, as CSV and as one HTML page."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.page import write_page
from agent.trace import RunError, read_run
from evals.dataset import DatasetError
from evals.mmad.answers import AnsweredImage, AnswerLog
from evals.mmad.compare import Paired, paired
from evals.mmad.data import SUBTASKS
from evals.mmad.expert import BORROWED, EMPTY, LABELS
from evals.mmad.scores import AVERAGE, mark, score
from knowledge_base.files import write_atomically

KNOWLEDGE = {
    "none": "none",
    "retrieved": "retrieved from picture and evidence, without the object's name",
    "sheet": "the object's whole sheet, near-oracle: it lists the right defects",
}
MOST_WRONG = 60  # answers of a run that are shown with their trace
COLUMNS = (*SUBTASKS, AVERAGE)


@dataclass(frozen=True, eq=False)
class RunReport:
    """One run: its folder's name, setup, answers and scores."""

    name: str
    folder: Path
    setup: dict[str, Any]
    images: Sequence[AnsweredImage]
    scores: dict[str, Any]

    @property
    def row(self) -> dict[str, float]:
        """The last row of the table."""
        average = {} if self.scores["average"] is None else {AVERAGE: self.scores["average"]}
        return {**self.scores["subtasks"], **average}

    @property
    def stated(self) -> list[tuple[str, str]]:
        """Everything that must stand next to a score."""
        settings, found = self.setup["settings"], self.scores
        annotation, subset = self.setup["annotation"], self.setup["subset"]
        whole = subset["limit"] is None and subset["sample"] is None and subset["shard"] == [1, 1]
        return [
            ("planner", f"{settings['planner']}, mode {settings['mode']}, one run a {settings['per']}"),
            ("shots", f"{settings['shots']}, {settings['templates']} templates"),
            ("without a template", f"{found['zero_shot_images']} of {found['images']} pictures"),
            ("knowledge", KNOWLEDGE[settings["knowledge"]]),
            ("detector", _detector(settings, self.images)),
            ("thinking aloud", "on" if settings["cot"] else "off"),
            ("history", "on" if settings["history"] else "off"),
            ("pixel cap", f"{settings['image_pixels']} a picture"),
            ("sampling", "the planner's default settings"),
            ("reader", found["reader"]),
            ("unreadable", f"{found['unreadable']} of {found['questions']} answers, counted as wrong"),
            ("failed", f"{found['failed_images']} pictures, their answers counted as wrong"),
            (
                "annotation",
                f"{annotation['file']}, sha256 {annotation['sha256'][:12]}, {annotation['images']} pictures,"
                f" {annotation['questions']} questions, {annotation['left_out']} problems left out",
            ),
            ("subset", "all pictures" if whole else ", ".join(f"{name} {value}" for name, value in subset.items())),
            ("versions", ", ".join(f"{name} {value}" for name, value in self.setup["versions"].items())),
        ]


def _detector(settings: dict[str, Any], images: Sequence[AnsweredImage]) -> str:
    """The detector, labelled where it knows the truth, and on how many pictures it did not."""
    name = str(settings["detector"])
    if settings["mode"] == "direct":
        return "none: asked with the pictures alone"
    drawn = f", drawn as {settings['notation']}"
    if name not in LABELS:
        return name + drawn
    counts = {doubt: sum(doubt in image.degraded for image in images) for doubt in (BORROWED, EMPTY)}
    return f"{LABELS[name]}{drawn}" + "".join(f"; {doubt} ({count})" for doubt, count in counts.items() if count)


def read_reports(folders: Sequence[Path], reader: str) -> list[RunReport]:
    """The runs in these folders; DatasetError for a folder without one."""
    found = []
    for folder in folders:
        log = AnswerLog(folder)
        setup, images = log.setup(), log.images()
        if not images:
            raise DatasetError(folder, "holds no answer yet", "let `flawlens mmad run` go on with --resume")
        found.append(RunReport(folder.name, folder, setup, images, score(images, reader)))
    return found


def published_rows(folder: Path) -> dict[str, dict[str, float]]:
    """The last rows of published `*_accuracy*.csv`, by the name of the run; DatasetError when there is none."""
    rows = {}
    for path in sorted(folder.glob("answers_*_accuracy*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            last = next((row for row in csv.DictReader(file) if row.get("") == AVERAGE), {})
        name = path.stem.removeprefix("answers_").replace("_accuracy", "")
        rows[name] = {column: float(last[column]) for column in COLUMNS if last.get(column)}
    if not rows:
        raise DatasetError(folder, "holds no answers_*_accuracy.csv", "name the folder of published tables")
    return rows


def pairs_of(reports: Sequence[RunReport], reader: str) -> list[tuple[str, str, Paired]]:
    """Each later run beside the first one."""
    first, *others = reports
    found = [(first.name, one.name, paired(first.images, one.images, reader)) for one in others]
    return [(name, other, result) for name, other, result in found if result is not None]


@dataclass(frozen=True)
class Wrong:
    """A wrong answer with the page of its trace, relative to the report; empty when there is none."""

    key: str
    question: str
    right: str
    said: str
    trace: str


def wrong_answers(report: RunReport, beside: Path) -> list[Wrong]:
    """The first wrong answers of a run; each trace is written as a page in its run's folder."""
    marks = iter(mark(report.images, report.scores["reader"]))
    found: list[Wrong] = []
    for image in report.images:
        for one in image.questions:
            marked = next(marks)
            if marked.correct or len(found) >= MOST_WRONG:
                continue
            letter = marked.letter
            said = f"{letter}: {one.options.get(letter, '')}" if letter else f"unreadable: {one.reply}"
            right = f"{one.right}: {one.options[one.right]}"
            found.append(Wrong(image.key, f"{one.subtask}: {one.question}", right, said, _trace(report, image, beside)))
    return found


def _trace(report: RunReport, image: AnsweredImage, beside: Path) -> str:
    if not image.runs:
        return ""
    try:
        run = read_run(report.folder / "runs", image.runs[0])
    except RunError:
        return ""
    page = run.folder / "run.html"
    if not page.exists():
        write_page(run, page)
    return Path(os.path.relpath(page, beside)).as_posix()


def as_markdown(
    reports: Sequence[RunReport], published: dict[str, dict[str, float]], pairs: Sequence[tuple[str, str, Paired]]
) -> str:
    """Tables of scores, of what must stand next to them, of cost, and of paired differences."""
    lines = [_line("run", *COLUMNS, "unreadable"), _line(*["---"] * (len(COLUMNS) + 2))]
    lines += [_line(f"**{one.name}**", *_values(one.row), str(one.scores["unreadable"])) for one in reports]
    lines += [_line(name, *_values(row), "not told") for name, row in published.items()]
    for one in reports:
        lines += ["", f"### {_cell(one.name)}", "", *[f"- {name}: {_cell(text)}" for name, text in one.stated]]
        lines += [f"- cost: {cost_of(one)}", f"- verdict: {verdict_of(one)}"]
    lines += ["", *[f"- {_cell(described(*pair))}" for pair in pairs]]
    return "# MMAD\n\n" + "\n".join(lines).rstrip() + "\n"


def described(first: str, second: str, found: Paired) -> str:
    """A paired difference in words."""
    low, high = found.interval
    return (
        f"{second} beside {first}: {found.gain:+.2f} points (95 % interval {low:+.2f} to {high:+.2f}) over"
        f" {found.questions} questions on {found.images} pictures; right only there {found.only_second}, only before"
        f" {found.only_first}, McNemar p = {found.p:.3g}"
    )


def cost_of(report: RunReport) -> str:
    """What a picture cost, in words."""
    cost = report.scores["cost"]
    tokens = cost["prompt_tokens"] + cost["completion_tokens"]
    return (
        f"{cost['seconds_per_image']} s a picture ({cost['cpu_seconds_per_image']} s of CPU time),"
        f" {cost['images_per_hour']} pictures an hour, {cost['turns_per_image']} turns and"
        f" {cost['tool_calls_per_image']} calls of its own a picture, {tokens} tokens in all"
    )


def verdict_of(report: RunReport) -> str:
    """The detection answers and the calibration of the score, in words."""
    found, place = report.scores["verdict"], report.scores["localisation"]
    parts = [f"{name} {found[name]:.1f} %" for name in ("recall", "precision", "f1", "overkill", "miss")]
    if found["auroc"] is not None:
        parts += [f"AUROC of the score {found['auroc']:.1f} %", f"calibration error {found['ece']:.1f} %"]
    if place["images"]:
        parts.append(f"on {place['images']} masks IoU {place['iou']:.1f} % and pointing {place['pointing']:.1f} %")
    return ", ".join(parts)


def as_csv(reports: Sequence[RunReport], published: dict[str, dict[str, float]]) -> str:
    """One row a run with the columns of the table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *COLUMNS, "unreadable"])
    for one in reports:
        writer.writerow([one.name, *(one.row.get(name, "") for name in COLUMNS), one.scores["unreadable"]])
    for name, row in published.items():
        writer.writerow([name, *(row.get(column, "") for column in COLUMNS), ""])
    return text.getvalue()


def write_report(folders: Sequence[Path], out: Path, published: Path | None, reader: str) -> list[Path]:
    """Write report.md, report.csv and report.html into `out` and return their paths."""
    from evals.mmad.page import render_report

    reports = read_reports(folders, reader)
    rows = published_rows(published) if published else {}
    pairs = pairs_of(reports, reader)
    out.mkdir(parents=True, exist_ok=True)
    texts = {
        "report.md": as_markdown(reports, rows, pairs),
        "report.csv": as_csv(reports, rows),
        "report.html": render_report(reports, rows, pairs, out),
    }
    for name, text in texts.items():
        write_atomically(out / name, text.encode())
    return [out / name for name in texts]


def _values(row: dict[str, float]) -> list[str]:
    return [f"{row[name]:.2f}" if name in row else "" for name in COLUMNS]


def _line(*values: str) -> str:
    return f"| {' | '.join(_cell(value) for value in values)} |"


def _cell(text: str) -> str:
    """Text that cannot end a cell or a line."""
    return " ".join(text.replace("|", "\\|").split())
