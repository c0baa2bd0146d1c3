"""What a chat shows of a run: the blocks, not where they go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from agent.claims import claims_on
from agent.repl.session import Session
from agent.shown import indented, rows_of, text_of
from agent.submission import ANSWER, SUBMIT
from agent.terminal import COLOURS, call_in_words, place_on_range, words_of
from agent.trace import Event, Run
from tools.evidence import Evidence

LONGEST_PASSAGE = 400


def hint(words: str) -> Text:
    """A line that helps and can be passed over."""
    return text_of((words, "dim"))


def fields(pairs: Iterable[tuple[str, str]]) -> Table:
    """Names with what they mean."""
    return rows_of([((name, "bold"), words) for name, words in pairs], cut=False)


def evidence_table(evidence: Sequence[Evidence]) -> Table | None:
    """One line a piece of evidence."""
    rows = [(item.id, item.tool, place_on_range(item.above_normal), item.finding) for item in evidence]
    return rows_of(rows, cut=False) if rows else None


def evidence_of(session: Session, item: Evidence) -> list[RenderableType | Path]:
    """One piece of evidence whole: its finding, numbers, pictures and passages."""
    numbers = [(name, f"{value:g}" if isinstance(value, float) else str(value)) for name, value in item.numbers.items()]
    title = text_of((f"{item.id} ", "bold"), f"{item.tool}  ", place_on_range(item.above_normal))
    blocks: list[RenderableType | Path] = [title, indented(text_of(item.finding))]
    blocks += [indented(rows_of(numbers, cut=False))] if numbers else []
    for passage in item.passages:
        told = f"{passage['title']} [{passage['id']}], source: {passage['source']}"
        blocks += [indented(text_of((told, "dim"))), indented(text_of(str(passage["text"])[:LONGEST_PASSAGE]), 4)]
    return [*blocks, *(session.talking.folder / "pictures" / name for name in item.files)]


def reasons(run: Run) -> list[RenderableType | Path]:
    """Why the verdict is what it is, and what speaks against it."""
    diagnosis = run.diagnosis or {}
    verdict = diagnosis["verdict"]
    return [
        text_of((verdict, COLOURS[verdict]), f": {diagnosis['summary']}"),
        *([text_of(("Against it: ", "dim"), diagnosis["against"])] if diagnosis["against"] else []),
        hint("/why E1 shows one piece of evidence and what rests on it."),
    ]


def claims(run: Run, id_: str) -> Iterator[RenderableType]:
    """The claims of a diagnosis that rest on a piece of evidence."""
    for claim, _ in claims_on(run.diagnosis or {}, id_):
        yield text_of(("cited by ", "dim"), claim)


def step_of(event: Event) -> Iterator[RenderableType]:
    """What happens in a step, while it does: the planner's thought, what it calls, what is found."""
    update = event.update
    for message in update.get("messages", []) if event.node in ("plan", "survey") else []:
        calls = [call for call in message.get("tool_calls", []) if call["name"] not in (SUBMIT, ANSWER)]
        thought = words_of(message) if message["type"] == "ai" and (calls or not message.get("tool_calls")) else ""
        if thought:
            yield indented(text_of((thought, "italic")))
        yield from (indented(text_of(("→ ", "dim"), *call_in_words(call))) for call in calls)
    for item in update.get("evidence", []):
        seconds = (f"  {item['seconds']:.1f} s", "dim")
        yield indented(
            text_of((item["id"], "bold"), " ", place_on_range(item["above_normal"]), f" {item['finding']}", seconds)
        )
    if event.node == "audit":
        yield indented(hint("What speaks against it?"))


def answer_of(run: Run) -> list[RenderableType]:
    """The answer to the last question, with its ids, or why there is none."""
    exchange = (run.diagnosis or {})["exchanges"][-1]
    if exchange["outcome"] != "answered" or not exchange["answer"]:
        return [text_of((f"No answer ({exchange['outcome']}): the diagnosis stands as it was.", "yellow"))]
    ids = ", ".join(exchange["evidence"])
    return [text_of(exchange["answer"]), *([hint(f"rests on {ids}")] if ids else [])]
