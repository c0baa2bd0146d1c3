"""What a person reads of runs in a terminal: results on stdout."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent.shown import Part, counted, indented, one_line, rows_of, show, text_of, whole

if TYPE_CHECKING:
    from agent.trace import Event, Run

LONGEST_ARGUMENT = 120
PLANNERS = {"rules": "rules (embedded, no language model)"}
COLOURS = {"defective": "red", "uncertain": "yellow", "normal": "green"}
SPEAKERS = {"system": "told", "ai": "planner", "human": "asked", "tool": "answer"}
ENDINGS = {
    "running": "another process is working on it",
    "killed": "its process ended before the inspection did, and what is shown is all there is",
    "failed": "an error ended it",
    "stopped": "its conversation can go on with `flawlens chat --resume`",
    "finished": "it ended with a diagnosis",
}


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
    show(
        _verdict(diagnosis),
        "",
        indented(_about(diagnosis)),
        *_section("Answer", _paragraph(diagnosis.get("answer", ""))),
        *_section("This result deserves less trust", _list(diagnosis["degraded"])),
        *_section("Notes on the pictures", _list(diagnosis["notes"])),
        *_section(counted(len(diagnosis["defects"]), "defect"), *map(_defect, diagnosis["defects"])),
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
        ("image", one_line(asked["image"])),
        ("references", ", ".join(map(one_line, asked["references"])) or "none"),
        ("product", one_line(asked["product"] or "not named")),
        ("question", asked["question"] or "none"),
        ("planner", PLANNERS.get(run.setup["planner"], run.setup["planner"])),
        ("prompts", run.setup["prompts"]),
        *((name, words) for name, words in told.items() if words),
    ]
    steps = [block for event in run.events for block in steps_of(event)] or [text_of("  no step was completed")]
    verdict: list[RenderableType] = ["", _verdict(run.diagnosis)] if run.diagnosis else []
    show(_fields(about), "", *steps, *verdict, *_where(run))


def print_runs(runs: Sequence[Run]) -> None:
    """One line a run, newest first."""
    rows = []
    for run in runs:
        verdict = (run.diagnosis or {}).get("verdict", "")
        result = f"{verdict} {_percent(run.diagnosis['confidence'])}" if run.diagnosis else run.status
        rows.append((run.id, (result, COLOURS.get(verdict, "")), run.inspection["product"] or "", run.picture_name))
    if rows:
        show(rows_of(rows, header=("run", "result", "product", "image")))
    else:
        show(text_of("No runs yet; `flawlens inspect IMAGE` makes one."))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _fields(pairs: Iterable[tuple[str, str]]) -> Table:
    return rows_of([((label, "dim"), words) for label, words in pairs], cut=False)


def _list(items: Sequence[str]) -> Table | None:
    return _fields(("-", item) for item in items) if items else None


def _paragraph(words: str) -> Text | None:
    return text_of(words) if words else None


def _section(title: str, *blocks: RenderableType | None) -> list[RenderableType]:
    """A heading with what belongs to it; nothing when there is nothing."""
    inside: list[RenderableType] = [indented(block) for block in blocks if block is not None]
    return ["", text_of((title, "bold")), *inside] if inside else []


def _answered(diagnosis: Mapping[str, Any]) -> bool:
    """Whether the run answered a question about the object and inspected nothing."""
    return bool(diagnosis["outcome"] == "answered")


def _verdict(diagnosis: dict[str, Any]) -> Text:
    if _answered(diagnosis):
        return text_of((" ANSWERED ", "bold white on blue"), "  not inspected for defects")
    verdict = diagnosis["verdict"]
    banner = (f" {verdict.upper()} ", f"bold white on {COLOURS[verdict]}")
    return text_of(banner, f"  confidence {_percent(diagnosis['confidence'])}")


def in_words(criterion: Mapping[str, Any]) -> str:
    """A limit and how the measured mark stands to it."""
    stands = {True: "exceeded", False: "within", None: "not measured"}[criterion["exceeded"]]
    value = "" if criterion["measured"] is None else f" at {criterion['measured']:g}"
    cited = f" [{criterion['evidence']}]" if criterion["evidence"] else ""
    return f"{criterion['limit']}: {stands}{value}{cited}, defect {criterion['defect']} [{criterion['knowledge']}]"


def _about(diagnosis: dict[str, Any]) -> RenderableType:
    product = f" ({diagnosis['product']})" if diagnosis["product"] else ""
    scores = ", ".join(f"{source} {chance(value)}" for source, value in diagnosis["scores"].items())
    return _fields(
        [
            ("part", one_line(diagnosis["image"] + product)),
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
        f" {counted(usage['turns'], 'turn')}, {counted(usage['tool_calls'], 'tool call')}, {tokens(usage)}"
    )


def tokens(cost: Mapping[str, Any]) -> str:
    """Tokens of a turn or of a whole run, and how a reply had to be read."""
    prompt, pictures, generated = (cost[f"{kind}_tokens"] for kind in ("prompt", "image", "completion"))
    flags = "".join(f"; {flag}" for flag in cost.get("flags", []))
    return f"{prompt} prompt tokens ({pictures} of pictures), {generated} generated{flags}"


def _defect(defect: dict[str, Any]) -> RenderableType:
    box = ", ".join(f"{edge:.0f}" for edge in defect["box"])
    title = text_of((defect["type"], "bold"), f"  {defect['severity']}, {defect['place']}, box [{box}] in 0-1000")
    claims = [(name, defect[name]) for name in ("appearance", "effect", "cause")]
    return Group(title, indented(_fields([*claims, ("evidence", ", ".join(defect["evidence"]))])))


def _repair(diagnosis: dict[str, Any]) -> list[RenderableType]:
    repair = diagnosis["repair"]
    passages = {item["id"]: item for found in diagnosis["evidence"] for item in found["passages"]}
    sources = [
        (id_, f"{passages[id_]['title']} ({passages[id_]['source']})") for id_ in repair["knowledge"] if id_ in passages
    ]
    return [
        *_section("What to do", text_of((repair["disposition"], "bold")), _list(repair["actions"])),
        *_section("Limits", _list([in_words(one) for one in diagnosis.get("criteria", [])])),
        *_section("Prevention", _list(repair["prevention"])),
        *_section("Sources", _fields(sources) if sources else None),
    ]


def _evidence_table(evidence: Sequence[Mapping[str, Any]]) -> Table | None:
    rows = [(item["id"], item["tool"], place_on_range(item["above_normal"]), item["finding"]) for item in evidence]
    return rows_of(rows) if rows else None


def place_on_range(above: bool | None) -> tuple[str, str]:
    """How a finding stands to the normal range, with its colour."""
    words = {True: ("above", COLOURS["defective"]), False: ("within", COLOURS["normal"])}
    return ("-", "dim") if above is None else words[above]


def _where(run: Run) -> list[RenderableType]:
    """The trace's folder and the commands that show it."""
    home = shlex.quote(str(run.folder.resolve().parents[1]))
    commands = (f"flawlens runs {verb} {run.id} --home {home}" for verb in ("show", "html"))
    return ["", text_of(("Trace", "bold")), *(whole(f"  {line}") for line in (str(run.folder), *commands))]


def steps_of(event: Event) -> Iterator[RenderableType]:
    """One step of a run: what was said, called and found in it."""
    update = event.update
    yield text_of((f"{event.step:>3}  {event.node:<8}", "bold"), f" {event.seconds:8.3f} s")
    for picture in update.get("images", []):
        notes = "".join(f"; {note}" for note in picture["notes"])
        size = f"{picture['width']} x {picture['height']} px"
        yield indented(text_of(f"{picture['id']}: {size}, pictures/{picture['file']}{notes}"), 5)
    for message in unfiled(update):
        yield from _message(message)
    for item in update.get("evidence", []):
        files = "".join(f" pictures/{name}" for name in item["files"])
        line = text_of((f"{item['id']} ", "bold"), f"{item['tool']}: {item['finding']} ")
        yield indented(Group(line, text_of((f"{item['seconds']:.3f} s{files}", "dim"))), 5)
    for turn in update.get("spent", []):
        if turn["prompt_tokens"]:
            yield indented(text_of((tokens(turn), "dim")), 5)
    if "result" in update:
        result = update["result"]
        scores = ", ".join(f"{source} {chance(value)}" for source, value in result["scores"].items())
        yield indented(text_of(f"{update['outcome']}: {result['verdict']}; {scores}"), 5)


def _message(message: dict[str, Any]) -> Iterator[RenderableType]:
    words = words_of(message)
    if words:
        style = "red" if message.get("status") == "error" else ""
        yield indented(text_of((f"{SPEAKERS.get(message['type'], message['type'])}: ", "dim"), (words, style)), 5)
    for call in message.get("tool_calls", []):
        yield indented(text_of(("-> ", "dim"), *call_in_words(call)), 5)


def call_in_words(call: Mapping[str, Any]) -> tuple[Part, Part]:
    """A tool call with its arguments, long ones cut."""
    arguments = ", ".join(f"{name}={_argument(value)}" for name, value in call["args"].items())
    return (call["name"], "bold"), f"({arguments})"


def _argument(value: object) -> str:
    written = json.dumps(value, ensure_ascii=False)
    return written if len(written) <= LONGEST_ARGUMENT else written[: LONGEST_ARGUMENT - 1] + "…"
