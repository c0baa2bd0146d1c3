"""How tests ask a planner on the loopback server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool

from agent.planners.server import ServerPlanner, make_server_planner
from agent.wire.dialect import GENERIC, Call
from tests.agent.planners.chat_server import ChatServer

KEY = "sk-very-secret-1234"
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AAAA"}}
ZOOM: Call = {"name": "zoom", "arguments": {"type": "object", "properties": {}, "additionalProperties": False}}
SUBMIT: Call = {"name": "submit", "arguments": {"type": "object", "properties": {"verdict": {"enum": ["normal"]}}}}
QUESTION: list[BaseMessage] = [SystemMessage("You inspect."), HumanMessage("Is it defective?")]


@tool
def zoom(image: str) -> str:
    """Look closer."""
    return image


@tool
def submit(verdict: str) -> str:
    """Answer."""
    return verdict


TOOLS = [zoom, submit]


def planner_at(server: ChatServer, protocol: str = "json", **options: Any) -> ServerPlanner:
    """The planner on this server, with the generic dialect."""
    return make_server_planner(server.address, dialect=replace(GENERIC, protocol=protocol), **options)


def ask(
    planner: ServerPlanner,
    messages: list[BaseMessage] = QUESTION,
    calls: list[Call] | None = None,
    seconds: float | None = 10,
) -> AIMessage:
    """Its reply to one turn."""
    return planner.bind_tools(TOOLS, calls=calls, seconds=seconds).invoke(messages)


def shown(pictures: int) -> list[BaseMessage]:
    """A question with so many pictures."""
    return [HumanMessage([{"type": "text", "text": "Look."}, *[PICTURE] * pictures])]


def sum_of(chunks: Iterator[Any]) -> Any:
    """The message that a stream adds up to."""
    first, *rest = chunks
    for chunk in rest:
        first += chunk
    return first
