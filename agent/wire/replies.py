"""Replies as models really send them, read into calls, words and faults."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, InvalidToolCall, ToolCall

from agent.submission import ANSWER, SUBMIT
from agent.wire.json_text import OBJECT_START, JsonError, UnfinishedError, Value, storable, tidied, value_at, values_in

LONGEST = 100_000  # characters of a text that are read, counted from its end
CUT_OFF = "the reply was cut off before its call was complete; write less"
_FORM = 'a call is {"name": "...", "arguments": {...}}'
_MOST_BLOCKS = 50
_TAG = re.compile(r"<(/?)tool_call>")
_WHOLE_BLOCK = re.compile(r"<tool_call>.*?(?:</tool_call>|\Z)", re.DOTALL)
_LEFTOVER = re.compile(r"```(?:json|python)?|</?tool_call>|</?think>")
_MEANT_AS_CALL = re.compile(r"[\"'](?:name|arguments|parameters|tool_calls|function|verdict)[\"']\s*:")


@dataclass(frozen=True)
class Reply:
    """A reply as the graph takes it: words, calls with unique ids, and what could not be read, for the planner.

    `flags` name, for the record, each way in which the reply was not a plain native call.
    """

    thought: str
    calls: tuple[ToolCall, ...] = ()
    faults: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


def read_reply(message: AIMessage, names: Collection[str]) -> Reply:
    """Read any reply of any length; `names` are those of all tools.

    Native calls count before <tool_call> blocks, these before JSON in the text, and thinking only when there is
    nothing else. Arguments are always an object; names and arguments are not compared with the tools.
    """
    thinking, words, flags = _thinking_apart(message)
    cut = message.response_metadata.get("finish_reason") in ("length", "time")
    found = _native(message, words, cut) or _blocks(words, names) or _loose(words, names)
    if not (found or words or cut) and (inside := _blocks(thinking, names) or _loose(thinking, names, last=True)):
        found, thinking = inside, ""
        flags.add("call inside the thinking")
    if cut:
        found.faults = [CUT_OFF]
        flags.add("cut off")
    faults = [fault for fault in found.faults if not (found.calls and fault == CUT_OFF)]
    spoken = (_LEFTOVER.sub("", part).strip() for part in (thinking, *found.thoughts, found.words))
    thought = re.sub(r"\n\s*\n", "\n\n", "\n".join(filter(None, spoken)))
    return Reply(thought, tuple(found.calls), tuple(faults), tuple(sorted(flags | found.flags)))


def native_calls(wire: Sequence[Mapping[str, Any]]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """The `tool_calls` of an OpenAI reply as an AIMessage takes them.

    langchain-openai's own reading raises where arguments are JSON but no object. Here those become invalid calls,
    like text that is no JSON; `read_reply` understands them.
    """
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for item in wire:
        function = item.get("function") or {}
        name, identity, written = str(function.get("name") or ""), item.get("id"), function.get("arguments") or "{}"
        text = written if isinstance(written, str) else json.dumps(written)
        try:
            arguments = json.loads(text)
        except (ValueError, RecursionError):
            arguments = None
        if isinstance(arguments, dict):
            calls.append(ToolCall(name=name, args=arguments, id=identity, type="tool_call"))
        else:
            invalid.append(InvalidToolCall(name=name, args=text, id=identity, error=None, type="invalid_tool_call"))
    return calls, invalid


@dataclass
class _Found:
    """What one way of reading has found; false when that is nothing."""

    words: str = ""
    thoughts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.calls or self.faults)

    def take(self, found: Value, names: Collection[str]) -> bool:
        """Add the calls that a value stands for, and its thought; whether there were any."""
        actions = list(_actions(found.value, names))
        for name, arguments in actions:
            self.add(name, arguments)
        if actions:
            self.flags |= found.flags
            thought = found.value.get("thought") if isinstance(found.value, dict) else None
            self.thoughts += [storable(thought)] if isinstance(thought, str) else []
        return bool(actions)

    def add(self, name: str, arguments: Any, identity: str | None = None) -> None:
        """Add one call, or the fault that keeps it from being one."""
        # servers refuse a history with other names
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", name.strip())[:64]
        try:
            if not name:
                raise JsonError("it has no name")
            args = tidied(self._object(arguments), self.flags)
        except JsonError as error:
            self.faults.append(f"the call of {name!r} cannot be read: {error}")
            return
        known = {call["id"] for call in self.calls}
        unique = identity if identity and identity not in known else f"call_{uuid.uuid4().hex[:16]}"
        self.calls.append(ToolCall(name=name, args=args, id=unique, type="tool_call"))

    def _object(self, arguments: Any) -> dict[str, Any]:
        """The arguments as an object, decoded as often as they are text."""
        while isinstance(arguments, str) and (text := arguments.strip()):
            if text[0] not in '{["':
                raise JsonError(f"its arguments are the text {text[:30]!r}, not an object with the tool's arguments")
            found = value_at(text)
            self.flags |= {"arguments as text", *found.flags, *_trailing(text[found.end :])}
            arguments = found.value
        if arguments is None or isinstance(arguments, str):
            return {}
        if not isinstance(arguments, dict):
            raise JsonError(f"its arguments are a {type(arguments).__name__}, not an object with the tool's arguments")
        return arguments


def _thinking_apart(message: AIMessage) -> tuple[str, str, set[str]]:
    """Thinking, the text after it, and flags for tags that have no partner."""
    reasoning = message.additional_kwargs.get("reasoning_content")
    reasoning = reasoning if isinstance(reasoning, str) else ""
    content = str(message.text)
    before, closed, words = storable(content[-LONGEST:]).rpartition("</think>")
    words, opened, unclosed = words.partition("<think>")
    states = {
        "lone </think>": closed and "<think>" not in before,
        "unclosed <think>": opened,
        "too long": max(len(content), len(reasoning)) > LONGEST,
    }
    parts = (part.strip() for part in (storable(reasoning[-LONGEST:]), before, unclosed))
    return "\n".join(filter(None, parts)), words.strip(), {flag for flag, holds in states.items() if holds}


def _native(message: AIMessage, words: str, cut: bool) -> _Found:
    """Native calls, with those whose arguments langchain could not read."""
    found = _Found(_WHOLE_BLOCK.sub("", words))
    # langchain closes the brackets of a streamed call that was cut off
    whole = message.tool_calls[:-1] if cut and not message.invalid_tool_calls else message.tool_calls
    for call in whole:
        found.add(call["name"], call["args"], call["id"])
    for invalid in message.invalid_tool_calls:
        found.add(invalid["name"] or "", invalid["args"], invalid["id"])
    return found


def _blocks(text: str, names: Collection[str]) -> _Found:
    """Calls in <tool_call> blocks; the first may lack its opening and the last its closing tag."""
    found = _Found()
    tag = _TAG.search(text)
    start = OBJECT_START.search(text, 0, tag.start()) if tag and tag[1] else None
    if start:
        text = f"{text[: start.start()]}<tool_call>{text[start.start() :]}"
    end = 0
    for _ in range(_MOST_BLOCKS):
        tag = _TAG.search(text, end)
        if tag is None:
            break
        found.words += text[end : tag.start()]
        end = tag.end() if tag[1] else _block(text, tag.end(), found, names)
    found.words += text[end:]
    found.flags |= {"tool_call block"} if found else set()
    return found


def _block(text: str, start: int, found: _Found, names: Collection[str]) -> int:
    """Read the block whose content begins at `start`; the position after it."""
    tag = _TAG.search(text, start)
    end, closed = (tag.start(), bool(tag[1])) if tag else (len(text), False)
    try:
        bracket = OBJECT_START.search(text, start, end)
        if bracket is None:
            raise JsonError(f"there is no JSON object; {_FORM}")
        value = value_at(text, bracket.start())
        if not found.take(value, names):
            raise JsonError(f"there is no name with arguments; {_FORM}")
    except JsonError as error:
        cut = isinstance(error, UnfinishedError) and not closed
        found.faults.append(CUT_OFF if cut else f"a tool_call block cannot be read: {error}")
        return tag.end() if tag and closed else end
    tag = _TAG.search(text, value.end)
    if tag is None or not tag[1]:
        found.flags.add("unclosed tool_call")
        return value.end
    found.flags |= _trailing(text[value.end : tag.start()])
    return tag.end()


def _loose(text: str, names: Collection[str], last: bool = False) -> _Found:
    """Calls in JSON that stands in the text, fenced or bare; only the last one if `last`."""
    found = _Found()
    broken = []
    end = 0
    for start, value in values_in(text):
        if isinstance(value, JsonError):
            broken += [value] if _MEANT_AS_CALL.search(text[start : start + 400]) else []
        elif found.take(value, names):
            found.words += text[end:start]
            end = value.end
    found.words += text[end:]
    found.calls = found.calls[-1:] if last else found.calls
    if broken and not found:
        found.faults.append(f"the JSON of the reply cannot be read: {broken[0]}")
    found.flags |= {"JSON in the text"} if found else set()
    return found


def _trailing(text: str) -> set[str]:
    return {"text after the JSON"} if text.strip() else set()


def _actions(value: Any, names: Collection[str], depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Name and arguments of each call that a JSON value stands for; an answer without a name is one too."""
    if isinstance(value, list) and depth < 3:
        for item in value:
            yield from _actions(item, names, depth + 1)
    if not isinstance(value, dict):
        return
    name = value.get("name")
    if isinstance(inner := value.get("tool_calls", value.get("function")), list | dict) and depth < 3:
        yield from _actions(inner, names, depth + 1)
    elif isinstance(name, str):
        yield from _named(name, value, names)
    elif "verdict" in value:
        yield SUBMIT, _without_thought(value)
    elif "answer" in value and ANSWER in names:
        yield ANSWER, _without_thought(value)


def _named(name: str, value: dict[str, Any], names: Collection[str]) -> Iterator[tuple[str, Any]]:
    """The call of an object with a name, its arguments inside or beside it; none where it describes a tool."""
    if "arguments" in value or "parameters" in value:
        arguments = value.get("arguments", value.get("parameters"))
        if not (isinstance(arguments, dict) and arguments.get("type") == "object" and "properties" in arguments):
            yield name, arguments
    elif name in names and "description" not in value:
        yield name, {key: item for key, item in value.items() if key not in ("name", "thought")}


def _without_thought(value: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key != "thought"}
