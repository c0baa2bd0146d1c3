"""The state stays small whatever pictures are looked at: it names them and never holds them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

from agent.diagnosis import Inspection
from agent.inspector import Inspector
from agent.wire.dialect import QWEN25_VL, Dialect
from evals.example_parts import draw_part
from tests.agent.conftest import ScriptedPlanner, says, submits
from tools.image import save_image

LOOKS = [("zoom", {"image": "part", "box": [40 * n + 10, 20, 40 * n + 50, 60]}) for n in range(1, 6)]


class Outer(TypedDict, total=False):
    """State of a graph around an inspection."""

    run: str


def checkpoints(inspector: Inspector, inspection: Inspection) -> list[bytes]:
    """Every checkpoint of one inspection, as a saver writes it when a graph around it has one."""

    def inspect(_: Outer) -> dict[str, Any]:
        return {"run": inspector.inspect(inspection).id}

    graph = StateGraph(Outer)
    graph.add_node("inspect", inspect)
    graph.add_edge(START, "inspect")
    graph.add_edge("inspect", END)
    saver = InMemorySaver()
    config: RunnableConfig = {"configurable": {"thread_id": "1"}}
    graph.compile(checkpointer=saver).invoke({}, config)
    within = [kept for kept in saver.list(config) if kept.config["configurable"]["checkpoint_ns"]]
    return [saver.serde.dumps_typed(kept.checkpoint)[1] for kept in within]


@pytest.mark.parametrize(
    "dialect", [None, QWEN25_VL, replace(QWEN25_VL, protocol="json")], ids=["no model", "tools", "json"]
)
def test_a_checkpoint_after_five_steps_with_pictures_is_under_200_kb(tmp_path: Path, dialect: Dialect | None) -> None:
    part, good = tmp_path / "part.png", tmp_path / "good.png"
    save_image(part, draw_part("bracket", "scratch", seed=9, size=768).pixels)
    save_image(good, draw_part("bracket", seed=1, size=768).pixels)
    planner = ScriptedPlanner(replies=[*(says("I look closer.", look) for look in LOOKS), submits()], dialect=dialect)
    kept = checkpoints(Inspector(tmp_path, planner, "scripted"), Inspection(part, (good,), "bracket"))

    assert len(list(tmp_path.glob("runs/*/pictures/*.jpg"))) >= 2 + 5
    assert len(kept) >= 2 + 2 * 5
    last = max(kept, key=len)
    assert b"crop_5" in last
    assert b"data:image" not in last
    assert len(last) < 200_000
    if dialect:
        assert sum("data:image/jpeg" in str(message.content) for message in planner.seen[-1]) >= 5
