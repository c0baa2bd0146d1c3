"""The only place that knows how a model wants messages, pictures, tools and boxes on the wire.

The state names pictures by id and keeps boxes in 0-1000 of the named image; here they become what a model's dialect
wants, and its replies become calls in the state's own terms.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage, ToolCall
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from agent.planners import AskAgain, PlannerError
from agent.wire.boxes import BoxError, with_boxes
from agent.wire.dialect import spoken_by
from agent.wire.outgoing import Outgoing
from agent.wire.replies import native_calls, read_reply
from agent.wire.schemas import calls_now
from agent.wire.sight import Sight
from tools.album import Album

MOST_ADAPTATIONS = 4


class Wire:
    """One run's connection to its planner. `tools` are all that the planner is told of, the answer's tool among them.

    A planner whose `dialect` is None reads the state itself and is passed it unchanged; one without a `dialect` is any
    langchain chat model and gets the generic one. `hear` is told each piece of its text as it comes.
    """

    def __init__(
        self,
        planner: BaseChatModel,
        album: Album,
        tools: Sequence[BaseTool],
        reasoning: bool = True,
        hear: Callable[[str], None] | None = None,
    ) -> None:
        self.planner = planner
        self.album = album
        self.tools = tools
        self.reasoning = reasoning
        self.told = [convert_to_openai_tool(tool) for tool in tools]
        self.hear = hear
        self._seen: Sight | None = None

    @property
    def speaks(self) -> bool:
        """Whether the planner is a language model."""
        return spoken_by(self.planner) is not None

    def ask(
        self, messages: Sequence[AnyMessage], offered: Sequence[BaseTool], seconds: float
    ) -> tuple[AIMessage, dict[str, Any]]:
        """One reply, with boxes in 0-1000, and a record of what it cost; PlannerError when there is none.

        What could not be read is in additional_kwargs: `faults` of the reply, `refused` calls by id with the reason.
        """
        started = time.perf_counter()
        for _ in range(MOST_ADAPTATIONS):
            try:
                reply, record = self._ask(messages, offered, seconds - (time.perf_counter() - started))
            except AskAgain:
                continue
            return reply, {**record, "seconds": round(time.perf_counter() - started, 4)}
        raise PlannerError("the planner's server refuses every way of asking; see its log")

    def _ask(
        self, messages: Sequence[AnyMessage], offered: Sequence[BaseTool], seconds: float
    ) -> tuple[AIMessage, dict[str, Any]]:
        if not self.speaks:
            reply = self.planner.bind_tools(offered).invoke(list(messages))
            return reply, _record(reply, 0, ())
        sight = self._sight()
        wire = Outgoing(sight, self.told, self.reasoning).messages(messages)
        raw = self._invoke(wire, messages, offered, sight, seconds)
        read = read_reply(raw, [tool.name for tool in self.tools])
        calls, refused = _in_thousandths(_named_apart(read.calls, messages), sight)
        kept = {"faults": list(read.faults), "refused": refused}
        reply = AIMessage(
            read.thought,
            tool_calls=calls,
            usage_metadata=raw.usage_metadata,
            additional_kwargs={key: value for key, value in kept.items() if value},
        )
        return reply, _record(raw, sight.tokens, read.flags)

    def _sight(self) -> Sight:
        """The run's pictures as the planner wants them now; a new one when its dialect has changed."""
        dialect = spoken_by(self.planner)
        assert dialect is not None
        if self._seen is None or self._seen.dialect != dialect:
            self._seen = Sight(dialect, self.album)
        self._seen.tokens = 0
        return self._seen

    def _invoke(
        self,
        wire: list[BaseMessage],
        messages: Sequence[AnyMessage],
        offered: Sequence[BaseTool],
        sight: Sight,
        seconds: float,
    ) -> AIMessage:
        if not hasattr(self.planner, "dialect"):
            return self._heard(self.planner.bind_tools(offered), wire)
        names = [tool.name for tool in offered]
        calls = calls_now([tool for tool in self.told if tool["function"]["name"] in names], sight, messages)
        return self._heard(self.planner.bind_tools(self.told, calls=calls, seconds=seconds), wire)

    def _heard(self, planner: Runnable[LanguageModelInput, AIMessage], wire: list[BaseMessage]) -> AIMessage:
        if self.hear is None:
            return planner.invoke(wire)
        whole: Any = None
        try:
            for piece in planner.stream(wire):
                self.hear(piece.text)
                whole = piece if whole is None else whole + piece
        except PlannerError:
            if whole is None:
                raise
            return planner.invoke(wire)  # it broke off in the middle, which only a whole answer can be tried again
        return _whole(whole)


def _whole(heard: AIMessage) -> AIMessage:
    """The pieces of a stream as one message; arguments as they came, since langchain completes those that break off."""
    if not isinstance(heard, AIMessageChunk):
        return heard
    native = [
        {"id": piece["id"], "function": {"name": piece["name"], "arguments": piece["args"]}}
        for piece in heard.tool_call_chunks
    ]
    calls, invalid = native_calls(native)
    kept = heard.model_dump(include={"content", "additional_kwargs", "response_metadata", "usage_metadata"})
    return AIMessage(**kept, tool_calls=calls, invalid_tool_calls=invalid)


def _named_apart(calls: Sequence[ToolCall], messages: Sequence[AnyMessage]) -> list[ToolCall]:
    """The calls with ids that no earlier call has: some servers count from 0 again in every reply."""
    taken = {call["id"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls}
    return [ToolCall(**{**call, "id": f"call_{uuid4().hex[:16]}"}) if call["id"] in taken else call for call in calls]


def _in_thousandths(calls: Sequence[ToolCall], sight: Sight) -> tuple[list[ToolCall], dict[str, str]]:
    """The calls with every box in 0-1000 of its image, and why calls with an impossible box, left as they are, are
    refused."""
    refused: dict[str, str] = {}

    def converted(call: ToolCall) -> ToolCall:
        def in_thousandths(box: list[float], name: str) -> Sequence[float]:
            # what names no image is refused with the tool's own words
            return sight.box_from(box, name) if name in sight.album.views else box

        try:
            return ToolCall(**{**call, "args": with_boxes(call["args"], in_thousandths)})
        except BoxError as error:
            refused[call["id"] or ""] = str(error)
            return call

    return [converted(call) for call in calls], refused


def _record(reply: AIMessage, image_tokens: int, flags: Sequence[str]) -> dict[str, Any]:
    usage = reply.usage_metadata or {"input_tokens": 0, "output_tokens": 0}
    metadata = reply.response_metadata
    return {
        "prompt_tokens": usage["input_tokens"],
        "image_tokens": metadata.get("image_tokens", image_tokens),
        "completion_tokens": usage["output_tokens"],
        "finish": str(metadata.get("finish_reason", "")),
        "flags": list(flags),
    }
