"""A planner whose replies are written down; everything else is real."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from agent.diagnosis import Inspection, Procedure
from agent.inspector import Inspector
from agent.trace import Run
from agent.wire.dialect import Dialect
from evals.example_parts import draw_part
from tools.image import save_image


class ScriptedPlanner(BaseChatModel):
    """Says its replies in order, the last one again and again; `seen` and `offered` hold what it was given.

    With a dialect it is spoken to as a language model; a reply may be an error to raise.
    """

    dialect: Dialect | None = None
    replies: list[Any]
    seen: list[list[BaseMessage]] = Field(default_factory=list)
    offered: list[list[str]] = Field(default_factory=list)
    told: list[list[str]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], *, calls: Any = None, **_: Any) -> ScriptedPlanner:
        names = [tool["function"]["name"] if isinstance(tool, dict) else tool.name for tool in tools]
        self.told.append(names)
        self.offered.append(names if calls is None else [call["name"] for call in calls])
        return self

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        self.seen.append(list(messages))
        reply = self.replies[min(len(self.seen), len(self.replies)) - 1]
        if isinstance(reply, Exception):
            raise reply
        return ChatResult(generations=[ChatGeneration(message=reply.model_copy(update={"id": None}))])


@cache
def inspector_in(home: Path) -> Inspector:
    """One a home, so that its detector is fitted once for all tests; a test sets its planner and procedure."""
    return Inspector(home, ScriptedPlanner(replies=[]), "scripted")


def inspected(home: Path, planner: ScriptedPlanner, inspection: Inspection, **procedure: Any) -> Run:
    """What comes of one inspection by this planner."""
    inspector = inspector_in(home)
    inspector.planner, inspector.procedure = planner, Procedure(**procedure)
    return inspector.inspect(inspection)


def says(text: str = "", *calls: tuple[str, dict[str, Any]]) -> AIMessage:
    """A reply with these tool calls."""
    named = [ToolCall(name=name, args=args, id=f"call_{number}") for number, (name, args) in enumerate(calls)]
    return AIMessage(text, tool_calls=named)


def submits(verdict: str = "normal", probability: float = 0.1, **more: Any) -> AIMessage:
    """A reply that submits a diagnosis."""
    repair = {"disposition": "accept" if verdict == "normal" else "hold"}
    answer = {"verdict": verdict, "probability": probability, "repair": repair, "summary": "seen", **more}
    return says("", ("submit_diagnosis", answer))


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with bracket pictures: good_1.png to good_5.png, scratched.png, and gasket.png."""
    folder = tmp_path_factory.mktemp("parts")
    for seed in range(1, 6):
        save_image(folder / f"good_{seed}.png", draw_part("bracket", seed=seed, size=256).pixels)
    save_image(folder / "scratched.png", draw_part("bracket", "scratch", seed=9, size=256).pixels)
    save_image(folder / "gasket.png", draw_part("gasket", seed=3, size=256).pixels)
    return folder
