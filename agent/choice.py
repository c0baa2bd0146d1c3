"""Multiple-choice questions, answered from what an inspection found or, directly, from the pictures alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from agent.diagnosis import Choice, ChoiceAnswer
from agent.planners import PlannerError
from agent.submission import CHOOSE, choose_tool
from agent.wire import Wire
from prompts import render
from tools.album import Album
from tools.appearance import appearance
from tools.evidence import Evidence
from tools.image import Box
from tools.mark import measure

LEAST_SECONDS = 30.0  # for a choice, when the inspection took all that it had
SPOT = 40.0  # half a side, in thousandths, of what is measured around the hottest place


def ask_choices(
    wire: Wire,
    choices: Sequence[Choice],
    found: Sequence[AnyMessage],
    *,
    direct: bool,
    history: bool,
    seconds: float,
    sheet: str | None = None,
) -> Iterator[ChoiceAnswer]:
    """The planner's answer to each choice after the messages `found`; one that fails is an answer that says so.

    Asked directly, `sheet` is text on the product that stands before the question. With `history` each choice also
    sees those before it and their answers.
    """
    said: list[AnyMessage] = []
    facts = part_facts(wire.album, found) if choices else {}
    for choice in choices:
        asked = _asked(choice, wire.album, direct, sheet, facts)
        answer, reply = _ask(wire, choice, [*found, *said, asked], max(seconds, LEAST_SECONDS))
        if history and reply is not None:
            said += [
                asked,
                reply,
                *(ToolMessage("Noted.", tool_call_id=call["id"], name=call["name"]) for call in reply.tool_calls),
            ]
        yield answer


def _asked(choice: Choice, album: Album, direct: bool, sheet: str | None, facts: Mapping[str, str]) -> HumanMessage:
    text = render("choice", question=choice.question, options=dict(choice.options), tool=CHOOSE)
    about = {"choice": {"question": choice.question, "options": dict(choice.options), "facts": dict(facts)}}
    shown = _shown(album, sheet) if direct else []
    return HumanMessage([*shown, {"type": "text", "text": text}], additional_kwargs=about)


def _shown(album: Album, sheet: str | None) -> list[str | dict[str, Any]]:
    """What stands before a direct question, in MMAD's order: task, knowledge, references, part."""
    references = [name for name in album.views if name.startswith("reference_")]
    text = render("direct", sheet=sheet, references=len(references))
    return [{"type": "text", "text": text}, *({"type": "image", "file_id": name} for name in (*references, "part"))]


def _ask(
    wire: Wire, choice: Choice, messages: Sequence[AnyMessage], seconds: float
) -> tuple[ChoiceAnswer, AIMessage | None]:
    try:
        reply, record = wire.ask(messages, [choose_tool], seconds)
    except PlannerError as error:
        return ChoiceAnswer(failure=str(error)), None
    letters = [call["args"].get("letter") for call in reply.tool_calls if call["name"] == CHOOSE]
    cost = {name: record[name] for name in ("prompt_tokens", "completion_tokens", "seconds")}
    return ChoiceAnswer(
        letter=next((one for one in letters if one in choice.options), None), reply=reply.text, **cost
    ), reply


def part_facts(album: Album, found: Sequence[AnyMessage]) -> dict[str, str]:
    """For planners without eyes: how the part looks, and how the mark at the hottest place of the map does."""
    facts = {"part": appearance(album.part)}
    for message in found:
        if isinstance(message, ToolMessage) and isinstance(message.artifact, dict):
            numbers = Evidence(**message.artifact).numbers
            if "hottest_x" in numbers:
                x, y = float(numbers["hottest_x"]), float(numbers["hottest_y"])
                spot = Box(max(x - SPOT, 0), max(y - SPOT, 0), min(x + SPOT, 1000), min(y + SPOT, 1000))
                facts |= {"mark": str(measure(album.part, spot)["looks"]), "hottest": f"{x:.0f} {y:.0f}"}
    return facts
