"""Carrying out the planner's calls: what is refused, what was answered before, what runs and becomes evidence."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command
from pydantic import BaseModel, ValidationError

from agent.submission import faults_of
from tools.evidence import Evidence, ToolError

MOST_AT_ONCE = 8
MALFORMED = "malformed"  # artifact of an answer to a call that had no right form


def left_of(
    tools: Sequence[BaseTool], most_calls: Mapping[str, int], messages: Sequence[AnyMessage]
) -> Sequence[BaseTool]:
    """The tools that are still of use: not used up, and not just asked what they had answered before.

    Calls that were refused count as well, or a planner would never end.
    """
    *before, last = [calls for message in messages if (calls := calls_of(message))] or [[]]
    asked = {_signature(call) for calls in before for call in calls}
    stuck = {call["name"] for call in last if _signature(call) in asked}
    made = Counter(call["name"] for calls in [*before, last] for call in calls)
    return [tool for tool in tools if tool.name not in stuck and made[tool.name] < most_calls.get(tool.name, math.inf)]


def calls_of(message: AnyMessage) -> list[ToolCall]:
    """The tool calls of a message, none for any but a planner's."""
    return message.tool_calls if isinstance(message, AIMessage) else []


def carry_out(
    asked: AIMessage, tools: Sequence[BaseTool], offered: Sequence[BaseTool], earlier: Sequence[AnyMessage], filed: int
) -> tuple[list[ToolMessage], list[dict[str, Any]]]:
    """Answers to every call of `asked`, in order, and the new evidence, numbered from `filed` + 1."""
    told = _told(earlier)
    ready: dict[str, ToolMessage] = {}
    for number, call in enumerate(asked.tool_calls):
        if number >= MOST_AT_ONCE:
            ready[call["id"] or ""] = _answer(call, f"not run: at most {MOST_AT_ONCE} calls a reply", "error")
        elif (answer := told.get(_signature(call)) or _refusal(call, asked, tools, offered)) is not None:
            ready[call["id"] or ""] = _answer(call, *answer)
        told.setdefault(_signature(call), ("the same call was made twice in this reply", "error"))
    to_run = [call for call in asked.tool_calls if call["id"] not in ready]
    ran = iter(_run(to_run, tools))
    replies = [ready.get(call["id"] or "") or next(ran) for call in asked.tool_calls]
    return replies, list(_filed(replies, filed))


def call_tool(
    name: str, arguments: dict[str, Any], tools: Sequence[BaseTool], filed: int
) -> tuple[AIMessage, ToolMessage]:
    """A person's or a program's own call, checked and filed like a planner's; ToolError when it is refused."""
    call = ToolCall(name=name, args=arguments, id=f"own_{uuid4().hex[:16]}", type="tool_call")
    asked = AIMessage("", tool_calls=[call])
    if (refusal := _refusal(call, asked, tools, tools)) is not None:
        raise ToolError(refusal[0])
    started = time.perf_counter()
    reply: ToolMessage = next(tool for tool in tools if tool.name == name).invoke(call)
    if isinstance(reply.artifact, Evidence):
        reply.artifact = reply.artifact.model_copy(update={"seconds": round(time.perf_counter() - started, 4)})
    list(_filed([reply], filed))
    return asked, reply


def all_malformed(replies: Sequence[ToolMessage]) -> bool:
    """Whether no call of a turn had a form that could be carried out."""
    return bool(replies) and all(reply.artifact == MALFORMED for reply in replies)


def _told(messages: Sequence[AnyMessage]) -> dict[str, tuple[str, str]]:
    """For each call made earlier what was answered, as text and status."""
    found: dict[str, tuple[str, str]] = {}
    open_calls: dict[str, str] = {}
    for message in messages:
        open_calls |= {call["id"] or "": _signature(call) for call in calls_of(message)}
        if isinstance(message, ToolMessage) and (signature := open_calls.pop(message.tool_call_id, "")):
            status = MALFORMED if message.artifact == MALFORMED else message.status
            found.setdefault(signature, (f"You asked this before and it was answered: {message.content}", status))
    return found


def _signature(call: ToolCall) -> str:
    return json.dumps([call["name"], call["args"]], sort_keys=True, ensure_ascii=False)


def _refusal(
    call: ToolCall, asked: AIMessage, tools: Sequence[BaseTool], offered: Sequence[BaseTool]
) -> tuple[str, str] | None:
    """Why a call is not run: `malformed` when its form is wrong, `error` when its values are."""
    names = ", ".join(tool.name for tool in offered)
    chosen = next((tool for tool in tools if tool.name == call["name"]), None)
    if chosen is None:
        return f"there is no tool {call['name']!r}; the tools now are: {names}", MALFORMED
    if call["name"] not in [tool.name for tool in offered]:
        return f"{call['name']} is not offered now, it is used up or it is time to answer; what is: {names}", "error"
    if (text := asked.additional_kwargs.get("refused", {}).get(call["id"])) is not None:
        return str(text), "error"
    return _misfit(chosen, call["args"])


def _misfit(tool: BaseTool, arguments: dict[str, Any]) -> tuple[str, str] | None:
    schema = tool.get_input_schema()
    assert issubclass(schema, BaseModel)
    unknown = set(arguments) - set(schema.model_fields)
    faults = [f"{name}: there is no such argument" for name in sorted(unknown)]
    try:
        schema.model_validate(arguments)
    except ValidationError as error:
        faults += faults_of(error)
    return (f"the arguments of {tool.name} do not fit: " + "; ".join(faults), MALFORMED) if faults else None


def _answer(call: ToolCall, text: str, status: str) -> ToolMessage:
    return ToolMessage(
        text,
        tool_call_id=call["id"] or "",
        name=call["name"],
        status="success" if status == "success" else "error",
        artifact=MALFORMED if status == MALFORMED else None,
    )


def _run(calls: Sequence[ToolCall], tools: Sequence[BaseTool]) -> list[ToolMessage]:
    if not calls:
        return []
    node = ToolNode(list(tools), handle_tool_errors=_tool_error, wrap_tool_call=_timed)
    replies: list[ToolMessage] = node.invoke({"messages": [AIMessage("", tool_calls=list(calls))]})["messages"]
    return replies


def _filed(replies: Sequence[ToolMessage], filed: int) -> Iterator[dict[str, Any]]:
    """Number the evidence of these replies, in them and as plain values."""
    for reply in replies:
        if isinstance(reply.artifact, Evidence):
            filed += 1
            reply.artifact = reply.artifact.model_copy(update={"id": f"E{filed}"}).model_dump()
            reply.content = f"[E{filed}] {reply.content}"
            yield reply.artifact


def _timed(request: ToolCallRequest, run: Callable[[ToolCallRequest], ToolMessage | Command[Any]]) -> Any:
    """Run one call and write its seconds into its evidence."""
    started = time.perf_counter()
    reply = run(request)
    if isinstance(reply, ToolMessage) and isinstance(reply.artifact, Evidence):
        seconds = round(time.perf_counter() - started, 4)
        reply.artifact = reply.artifact.model_copy(update={"seconds": seconds})
    return reply


def _tool_error(error: ToolError) -> str:
    # With a wrapper around the calls, ToolNode hands every exception to this function, whatever its annotation says.
    if not isinstance(error, ToolError):
        raise error
    return str(error)
