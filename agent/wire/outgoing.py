"""From the state's messages to a model's: pictures, boxes, and past calls in the protocol that it speaks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)

from agent.wire.boxes import BoxError, with_boxes
from agent.wire.sight import Sight
from prompts import render

Block = dict[Any, Any]
SURVEY = ("study", "survey")  # names of messages whose calls the graph made
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_BOX = re.compile(rf"\bbox \[{_NUMBER}, {_NUMBER}, {_NUMBER}, {_NUMBER}\](?: of (\w+))?")


class Outgoing:
    """Renders messages in one dialect. What does not depend on the part comes first and is the same for every part."""

    def __init__(self, sight: Sight, tools: Sequence[dict[str, Any]], reasoning: bool) -> None:
        self.dialect = sight.dialect
        self.sight = sight
        self.tools = tools
        self.reasoning = reasoning
        self.as_json = sight.dialect.protocol == "json"

    def messages(self, messages: Sequence[AnyMessage]) -> list[BaseMessage]:
        """The wire messages: consecutive ones of the user are one, blocks of text in it too."""
        self.on_canvas = self._canvas_pictures(messages)
        self.shown = self._shown(messages)
        found: list[BaseMessage] = []
        for message in self._rendered(messages):
            if isinstance(message, HumanMessage) and found and isinstance(found[-1], HumanMessage):
                found[-1] = _user([*_blocks(found[-1]), *_blocks(message)])
            else:
                found.append(message)
        return [_joined(message) if isinstance(message, HumanMessage) else message for message in found]

    def _rendered(self, messages: Sequence[AnyMessage]) -> Iterator[BaseMessage]:
        pending: list[Block] = []
        for message in messages:
            if pending and not isinstance(message, ToolMessage):
                yield _user(pending)
                pending = []
            if isinstance(message, SystemMessage):
                yield SystemMessage(f"{message.content}\n\n{self._conventions()}")
            elif isinstance(message, HumanMessage):
                yield _user([block for part in _blocks(message) for block in self._seen(part)])
            elif isinstance(message, AIMessage):
                yield from self._said(message)
            elif isinstance(message, ToolMessage):
                text = self._in_scale(message)
                if self.as_json:
                    pending.append(_text(f"Result of {message.name}: {text}"))
                else:
                    yield ToolMessage(text, tool_call_id=message.tool_call_id, name=message.name)
                pending += self._drawn(message)
        if pending:
            yield _user(pending)

    def _conventions(self) -> str:
        boxes = render("boxes", scale=self.dialect.boxes, canvas=self.dialect.most_pictures == 1)
        if not self.as_json:
            return boxes
        tools = [json.dumps(tool["function"], ensure_ascii=False) for tool in self.tools]
        return f"{boxes}\n\n{render('actions', tools=tools, reasoning=self.reasoning)}"

    def _said(self, message: AIMessage) -> Iterator[BaseMessage]:
        # a refused call still has the model's own numbers
        refused = message.additional_kwargs.get("refused", {})
        calls = [
            call if call["id"] in refused else ToolCall(**{**call, "args": with_boxes(call["args"], self._box)})
            for call in message.tool_calls
        ]
        if not self.as_json:
            yield AIMessage(message.content, tool_calls=calls)
        elif message.name not in SURVEY:
            yield AIMessage(self._as_actions(message.text, calls))

    def _as_actions(self, text: str, calls: Sequence[ToolCall]) -> str:
        """Past calls as the model would have written them."""
        thought = {"thought": text} if self.reasoning and text else {}
        actions = [{**thought, "name": call["name"], "arguments": call["args"]} for call in calls]
        return "\n".join(json.dumps(action, ensure_ascii=False) for action in actions) or text

    def _box(self, box: Sequence[Any], name: str) -> list[Any]:
        """The box in the model's scale, or as it came when it names no image; in words when that is out of sight."""
        if name not in self.sight.album.views:
            return list(box)
        try:
            return self.sight.box_to(box, name)
        except BoxError:
            return [f"on {name}, which is no longer shown"]

    def _in_scale(self, message: ToolMessage) -> str:
        """A tool's text with its boxes in the model's scale; passages of documents stay as they are."""
        if message.name == "search_knowledge":
            return str(message.content)

        def translated(found: re.Match[str]) -> str:
            box = self._box([float(edge) for edge in found.groups()[:4]], found[5] or "part")
            return f"box {json.dumps(box)}" + (f" of {found[5]}" if found[5] else "")

        return _BOX.sub(translated, str(message.content))

    def _seen(self, block: Block) -> list[Block]:
        """A block of the state as the model gets it: pictures in place of their ids."""
        if block.get("type") != "image":
            return [block]
        name = block["file_id"]
        if self.dialect.most_pictures == 0:
            return [_text(f"{name}: not shown, this model reads text only")]
        if self.dialect.most_pictures == 1:
            return [_text("canvas:"), self.sight.canvas(self.on_canvas)] if name == "part" else []
        if name.startswith("reference_") and int(name.split("_")[1]) > self.sight.most_references:
            return []
        return [_text(f"{name}:"), self.sight.block(name)]

    def _drawn(self, message: ToolMessage) -> list[Block]:
        """The picture of a tool's result, in a message of the user: servers refuse pictures in a tool's."""
        found = picture_of(message)
        if found is None or self.dialect.most_pictures == 0:
            return []
        label, name = found
        if self.dialect.most_pictures == 1:
            return [_text(f"{label}: on the canvas")] if name in self.on_canvas else []
        return [_text(f"{label}:"), self.sight.block(name)] if name in self.shown else [_text(f"{label}: shown before")]

    def _canvas_pictures(self, messages: Sequence[AnyMessage]) -> list[str]:
        """Part, first reference and the two latest pictures of tools."""
        fixed = [name for name in ("part", "reference_1") if name in self.sight.album.views]
        drawn = [found[1] for message in reversed(messages) if (found := picture_of(message))]
        return [*fixed, *drawn[:2]]

    def _shown(self, messages: Sequence[AnyMessage]) -> set[str]:
        """Pictures of tools that fit into half of the request's pixels, the latest first."""
        if self.dialect.most_pictures is not None:
            return set()
        left = self.dialect.request_pixels // 2
        names = []
        for name in (found[1] for message in reversed(messages) if (found := picture_of(message))):
            left -= self.sight.cost(name)
            if left < 0:
                break
            names.append(name)
        return set(names)


def picture_of(message: AnyMessage) -> tuple[str, str] | None:
    """Label and name of the picture worth showing for a tool's result: a crop, or regions above the normal range."""
    artifact = message.artifact if isinstance(message, ToolMessage) else None
    if not isinstance(artifact, dict) or not artifact["files"]:
        return None
    if "image" in artifact["numbers"]:
        return artifact["numbers"]["image"], artifact["numbers"]["image"]
    if not artifact["above_normal"]:
        return None
    return f"{artifact['tool']} [{artifact['id']}]", artifact["files"][0]


def _blocks(message: BaseMessage) -> list[Block]:
    content = message.content
    if isinstance(content, str):
        return [_text(content)]
    return [_text(block) if isinstance(block, str) else block for block in content]


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _user(blocks: Sequence[Block]) -> HumanMessage:
    return HumanMessage([*blocks])


def _joined(message: HumanMessage) -> HumanMessage:
    """Neighbouring texts as one block; a message of text alone as plain text, which every server takes."""
    found: list[Block] = []
    for block in _blocks(message):
        if found and block["type"] == found[-1]["type"] == "text":
            found[-1] = _text(f"{found[-1]['text']}\n\n{block['text']}")
        else:
            found.append(block)
    return HumanMessage(found[0]["text"]) if [block["type"] for block in found] == ["text"] else _user(found)
