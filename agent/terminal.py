"""What a person reads in a terminal: results on stdout.

Text from models, documents and file names is data. It reaches rich only as `Text` that went through `visible`, never
as markup. On a terminal lines are wrapped; in a pipe there are no colours and every line stays whole.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from agent.doctor import Finding
    from agent.trace import Event, Run
    from knowledge_base.entry import Entry
    from knowledge_base.passage import Passage

Part = str | tuple[str, str]  # words, or words with a style
WIDEST = 110  # columns on a terminal; longer lines are tiring to read
UNWRAPPED = 100_000  # columns in a pipe
WIDEST_CELL = 24
LONGEST_ARGUMENT = 120
PLANNERS = {"rules": "rules (embedded, no language model)"}
COLOURS = {"defective": "red", "uncertain": "yellow", "normal": "green"}
LEVELS = {"ok": "green", "note": "yellow", "problem": "bold red"}
SPEAKERS = {"system": "told", "ai": "planner", "human": "asked", "tool": "answer"}
ENDINGS = {
    "running": "another process is working on it",
    "killed": "its process ended before the inspection did, and what is shown is all there is",
    "failed": "an error ended it",
    "finished": "it ended with a diagnosis",
}

# Control characters, surrogates of undecodable file names, and marks that reorder or hide text.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    r"""The text with control and invisible characters spelled out (`\x1b`); line feeds and tabs stay."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text.replace("\r\n", "\n"))


def chance(probability: float | None) -> str:
    """A probability of a defect in three digits that never claims certainty."""
    if probability is None:
        return "none"
    return "<0.001" if probability < 0.001 else ">0.999" if probability > 0.999 else f"{probability:.3f}"


def words_of(message: Mapping[str, Any]) -> str:
    """What a saved message says; a part that is not text is named and not shown."""
    content = message["content"]
    if isinstance(content, str):
        return content
    blocks = [{"text": block} if isinstance(block, str) else block for block in content]
    return "\n".join(str(block.get("text") or f"({block.get('type')} {block.get('file_id', '')})") for block in blocks)


def unfiled(update: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of one step, without tool answers that are filed as evidence beside them."""
    filed = tuple(f"[{item['id']}] " for item in update.get("evidence", []))
    return [message for message in update.get("messages", []) if not (filed and words_of(message).startswith(filed))]


def summary_of(run: Run) -> dict[str, Any]:
    """One run in a few plain values, for a list of runs."""
    diagnosis = run.diagnosis or {}
    return {
        "id": run.id,
        "status": run.status,
        "started": run.started,
        "image": run.inspection["image"],
        "product": run.inspection["product"],
        "planner": run.setup["planner"],
        "verdict": diagnosis.get("verdict"),
        "confidence": diagnosis.get("confidence"),
        "error": run.error,
        "folder": str(run.folder),
    }


def print_diagnosis(run: Run) -> None:
    """The result of one inspection: verdict, defects, what to do, evidence; an unfinished run step by step."""
    diagnosis = run.diagnosis
    if diagnosis is None:
        print_run(run)
        return
    _show(
        _verdict(diagnosis),
        "",
        _indented(_about(diagnosis)),
        *_section("Answer", _paragraph(diagnosis.get("answer", ""))),
        *_section("This result deserves less trust", _list(diagnosis["degraded"])),
        *_section("Notes on the pictures", _list(diagnosis["notes"])),
        *_section(_counted(len(diagnosis["defects"]), "defect"), *map(_defect, diagnosis["defects"])),
        *([] if _answered(diagnosis) else _repair(diagnosis)),
        *_section("Why", _paragraph(diagnosis["summary"])),
        *_section("What speaks against it", _paragraph(diagnosis["against"])),
        *_section("Evidence", _evidence_table(diagnosis["evidence"])),
        *_where(run),
    )


def print_run(run: Run) -> None:
    """A run step by step, with its status said plainly."""
    asked = run.inspection
    error = f": {run.error}" if run.error else ""
    told = {
        name: ", ".join(f"{part} {value}" for part, value in run.setup.get(name, {}).items())
        for name in ("settings", "procedure", "versions")
    }
    about = [
        ("run", run.id),
        ("status", f"{run.status}, {ENDINGS[run.status]}{error}"),
        ("started", run.started),
        ("image", _name(asked["image"])),
        ("references", ", ".join(map(_name, asked["references"])) or "none"),
        ("product", _name(asked["product"] or "not named")),
        ("question", asked["question"] or "none"),
        ("planner", PLANNERS.get(run.setup["planner"], run.setup["planner"])),
        ("prompts", run.setup["prompts"]),
        *((name, words) for name, words in told.items() if words),
    ]
    steps = [block for event in run.events for block in _step(event)] or [_text("  no step was completed")]
    verdict: list[RenderableType] = ["", _verdict(run.diagnosis)] if run.diagnosis else []
    _show(_fields(about), "", *steps, *verdict, *_where(run))


def print_runs(runs: Sequence[Run]) -> None:
    """One line a run, newest first."""
    rows = []
    for run in runs:
        verdict = (run.diagnosis or {}).get("verdict", "")
        result = f"{verdict} {_percent(run.diagnosis['confidence'])}" if run.diagnosis else run.status
        image = re.split(r"[/\\]", run.inspection["image"])[-1]
        rows.append((run.id, (result, COLOURS.get(verdict, "")), run.inspection["product"] or "", image))
    if rows:
        _show(_rows(rows, header=("run", "result", "product", "image")))
    else:
        _show(_text("No runs yet; `flawlens inspect IMAGE` makes one."))


def print_passages(passages: Sequence[Passage]) -> None:
    """What the knowledge base answers, best first."""
    if not passages:
        _show(_text("Nothing relevant in the knowledge base."))
        return
    for passage in passages:
        about = f"{passage.defect}, {passage.product}, relevance {passage.score:.2f}, source: {passage.source}"
        title = _text((passage.title, "bold"), f"  [{passage.id}]")
        _show(title, _indented(_text((about, "dim"))), _indented(_text(passage.text)), "")


def print_entries(entries: Sequence[Entry]) -> None:
    """One line an entry of the knowledge base."""
    rows = [(entry.id, entry.family, f"{entry.severity}, {entry.disposition}", entry.title["en"]) for entry in entries]
    table = [_rows(rows, header=("id", "family", "typical", "title"))] if rows else []
    _show(*table, _text((_counted(len(rows), "entry", "entries"), "dim")))


def print_findings(findings: Sequence[Finding]) -> None:
    """What the doctor found, each with its remedy, and a last line that sums up."""
    blocks: list[RenderableType] = []
    for finding in findings:
        style = LEVELS[finding.level]
        blocks.append(_text((f"{finding.level:<9}", style), (f"{finding.name:<16}", "bold"), finding.text))
        if finding.remedy:
            blocks.append(_whole(f"{'':<9}-> {finding.remedy}"))
    problems = sum(finding.level == "problem" for finding in findings)
    last = (_counted(problems, "problem"), LEVELS["problem"]) if problems else ("Ready to inspect.", LEVELS["ok"])
    _show(*blocks, "", _text(last))


def _show(*blocks: RenderableType) -> None:
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


def _text(*parts: Part) -> Text:
    """The one way of foreign text into rich: plain strings, or pairs of string and style."""
    styled = (part if isinstance(part, tuple) else (part, "") for part in parts)
    return Text.assemble(*((visible(words), style) for words, style in styled))


def _name(text: str) -> str:
    """A file or product name on one line."""
    return text.replace("\n", "\\n")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _indented(block: RenderableType, by: int = 2) -> Padding:
    return Padding(block, (0, 0, 0, by), expand=False)


def _rows(rows: Sequence[Sequence[Part]], header: Sequence[str] = (), *, cut: bool = True) -> Table:
    """A borderless table; where the terminal is too narrow its last column is cut, or wrapped."""
    cells = [[_text(_name(part) if cut and isinstance(part, str) else part) for part in row] for row in rows]
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


def _fields(pairs: Iterable[tuple[str, str]]) -> Table:
    return _rows([((label, "dim"), words) for label, words in pairs], cut=False)


def _list(items: Sequence[str]) -> Table | None:
    return _fields(("-", item) for item in items) if items else None


def _paragraph(words: str) -> Text | None:
    return _text(words) if words else None


def _section(title: str, *blocks: RenderableType | None) -> list[RenderableType]:
    """A heading with what belongs to it; nothing when there is nothing."""
    inside: list[RenderableType] = [_indented(block) for block in blocks if block is not None]
    return ["", _text((title, "bold")), *inside] if inside else []


def _answered(diagnosis: Mapping[str, Any]) -> bool:
    """Whether the run answered a question about the object and inspected nothing."""
    return bool(diagnosis["outcome"] == "answered")


def _verdict(diagnosis: dict[str, Any]) -> Text:
    if _answered(diagnosis):
        return _text((" ANSWERED ", "bold white on blue"), "  not inspected for defects")
    verdict = diagnosis["verdict"]
    banner = (f" {verdict.upper()} ", f"bold white on {COLOURS[verdict]}")
    return _text(banner, f"  confidence {_percent(diagnosis['confidence'])}")


def _about(diagnosis: dict[str, Any]) -> RenderableType:
    product = f" ({diagnosis['product']})" if diagnosis["product"] else ""
    scores = ", ".join(f"{source} {chance(value)}" for source, value in diagnosis["scores"].items())
    return _fields(
        [
            ("part", _name(diagnosis["image"] + product)),
            *([] if _answered(diagnosis) else [("defect probability", scores)]),
            ("planner", PLANNERS.get(diagnosis["planner"], diagnosis["planner"])),
            ("time", f"{diagnosis['seconds']:.1f} s{_cost(diagnosis.get('usage'))}"),
        ]
    )


def _cost(usage: Mapping[str, Any] | None) -> str:
    """What a language model has cost; nothing for a planner that counts no tokens."""
    if not usage or not usage["prompt_tokens"]:
        return ""
    return (
        f" ({usage['planner_seconds']:.1f} s planner, {usage['tool_seconds']:.1f} s tools);"
        f" {_counted(usage['turns'], 'turn')}, {_counted(usage['tool_calls'], 'tool call')}, {tokens(usage)}"
    )


def tokens(cost: Mapping[str, Any]) -> str:
    """Tokens of a turn or of a whole run, and how a reply had to be read."""
    prompt, pictures, generated = (cost[f"{kind}_tokens"] for kind in ("prompt", "image", "completion"))
    flags = "".join(f"; {flag}" for flag in cost.get("flags", []))
    return f"{prompt} prompt tokens ({pictures} of pictures), {generated} generated{flags}"


def _defect(defect: dict[str, Any]) -> RenderableType:
    box = ", ".join(f"{edge:.0f}" for edge in defect["box"])
    title = _text((defect["type"], "bold"), f"  {defect['severity']}, {defect['place']}, box [{box}] in 0-1000")
    claims = [(name, defect[name]) for name in ("appearance", "effect", "cause")]
    return Group(title, _indented(_fields([*claims, ("evidence", ", ".join(defect["evidence"]))])))


def _repair(diagnosis: dict[str, Any]) -> list[RenderableType]:
    repair = diagnosis["repair"]
    passages = {item["id"]: item for found in diagnosis["evidence"] for item in found["passages"]}
    sources = [
        (id_, f"{passages[id_]['title']} ({passages[id_]['source']})") for id_ in repair["knowledge"] if id_ in passages
    ]
    return [
        *_section("What to do", _text((repair["disposition"], "bold")), _list(repair["actions"])),
        *_section("Prevention", _list(repair["prevention"])),
        *_section("Sources", _fields(sources) if sources else None),
    ]


def _evidence_table(evidence: Sequence[Mapping[str, Any]]) -> Table | None:
    rows = [(item["id"], item["tool"], _range(item), item["finding"]) for item in evidence]
    return _rows(rows) if rows else None


def _range(item: Mapping[str, Any]) -> tuple[str, str]:
    """How a finding stands to the normal range, with its colour."""
    words = {True: ("above", COLOURS["defective"]), False: ("within", COLOURS["normal"])}
    return words.get(item["above_normal"], ("-", "dim"))


def _where(run: Run) -> list[RenderableType]:
    """The trace's folder and the commands that show it."""
    home = shlex.quote(str(run.folder.resolve().parents[1]))
    commands = (f"flawlens runs {verb} {run.id} --home {home}" for verb in ("show", "html"))
    return ["", _text(("Trace", "bold")), *(_whole(f"  {line}") for line in (str(run.folder), *commands))]


def _whole(line: str) -> Text:
    """A line to copy: it runs over the edge of a terminal and has no line feed in it."""
    text = _text(_name(line))
    text.no_wrap, text.overflow = True, "ignore"
    return text


def _step(event: Event) -> Iterator[RenderableType]:
    update = event.update
    yield _text((f"{event.step:>3}  {event.node:<8}", "bold"), f" {event.seconds:8.3f} s")
    for picture in update.get("images", []):
        notes = "".join(f"; {note}" for note in picture["notes"])
        size = f"{picture['width']} x {picture['height']} px"
        yield _indented(_text(f"{picture['id']}: {size}, pictures/{picture['file']}{notes}"), 5)
    for message in unfiled(update):
        yield from _message(message)
    for item in update.get("evidence", []):
        files = "".join(f" pictures/{name}" for name in item["files"])
        line = _text((f"{item['id']} ", "bold"), f"{item['tool']}: {item['finding']} ")
        yield _indented(Group(line, _text((f"{item['seconds']:.3f} s{files}", "dim"))), 5)
    for turn in update.get("spent", []):
        if turn["prompt_tokens"]:
            yield _indented(_text((tokens(turn), "dim")), 5)
    if "result" in update:
        result = update["result"]
        scores = ", ".join(f"{source} {chance(value)}" for source, value in result["scores"].items())
        yield _indented(_text(f"{update['outcome']}: {result['verdict']}; {scores}"), 5)


def _message(message: dict[str, Any]) -> Iterator[RenderableType]:
    words = words_of(message)
    if words:
        style = "red" if message.get("status") == "error" else ""
        yield _indented(_text((f"{SPEAKERS.get(message['type'], message['type'])}: ", "dim"), (words, style)), 5)
    for call in message.get("tool_calls", []):
        arguments = ", ".join(f"{name}={_argument(value)}" for name, value in call["args"].items())
        yield _indented(_text(("-> ", "dim"), (call["name"], "bold"), f"({arguments})"), 5)


def _argument(value: object) -> str:
    written = json.dumps(value, ensure_ascii=False)
    return written if len(written) <= LONGEST_ARGUMENT else written[: LONGEST_ARGUMENT - 1] + "…"
