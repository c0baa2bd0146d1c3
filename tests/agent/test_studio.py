"""The graph that LangGraph Studio opens, found the way that LangGraph's server finds it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from agent.graph import Room, build_graph
from agent.trace import list_runs, read_run

ROOT = Path(__file__).parents[2]
Factory = Callable[[RunnableConfig], Any]


@pytest.fixture(scope="module")
def factory() -> Iterator[Factory]:
    """The factory that langgraph.json names."""
    named = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))["graphs"]["flawlens"]["path"]
    path, _, variable = named.rpartition(":")
    spec = importlib.util.spec_from_file_location("__agent__studio", ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield getattr(module, variable)
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def config(home: Path, parts: Path) -> RunnableConfig:
    good = [str(parts / "good_1.png"), str(parts / "good_2.png")]
    chosen = {"image": str(parts / "scratched.png"), "references": good, "product": "bracket", "home": str(home)}
    return {"configurable": {**chosen, "thread_id": "1"}}


def test_it_is_drawn_with_all_steps_of_an_inspection_before_anything_is_set(factory: Factory) -> None:
    steps = set(build_graph(cast("Room", None)).get_graph().nodes) - {"__start__", "__end__"}
    nodes = factory({}).get_graph(xray=True).nodes
    drawn = {name for name in nodes if not name.endswith(("__start__", "__end__"))}
    assert drawn == {f"inspect:{step}" for step in steps}
    assert {"survey", "plan", "act", "submit", "audit", "fuse"} <= steps


def test_what_can_be_set_is_told_with_its_meaning(factory: Factory) -> None:
    settings = factory({}).get_context_jsonschema()["properties"]
    assert set(settings) == {"image", "references", "product", "question", "planner", "home"}
    assert all(setting["description"] for setting in settings.values())
    assert (settings["planner"]["default"], settings["home"]["default"]) == ("rules", "~/.flawlens")


def test_a_run_inspects_what_is_set_and_leaves_a_trace_like_any_other(factory: Factory, config: RunnableConfig) -> None:
    found = asyncio.run(factory(config).ainvoke({}, config))
    folder = Path(found["run"])
    kept = read_run(folder.parent, folder.name)
    assert kept.status == "finished"
    assert kept.diagnosis == found["diagnosis"]
    assert found["diagnosis"]["outcome"] == "submitted"
    assert found["diagnosis"]["product"] == "bracket"
    assert {"anomaly_map", "compare_with_reference"} <= {item["tool"] for item in found["diagnosis"]["evidence"]}


def test_the_steps_are_seen_from_outside_as_they_come(factory: Factory, config: RunnableConfig) -> None:
    seen = factory(config).stream({}, config, stream_mode="updates", subgraphs=True)
    steps = [step for _, update in seen for step in update]
    assert steps[:2] == ["survey", "plan"]
    assert steps[-2:] == ["fuse", "inspect"]


def test_a_second_run_on_a_thread_is_an_inspection_of_its_own(
    factory: Factory, config: RunnableConfig, home: Path
) -> None:
    graph = factory(config).copy(update={"checkpointer": InMemorySaver()})
    before = len(list_runs(home / "runs"))
    first, second = (graph.invoke({}, config)["diagnosis"] for _ in range(2))
    assert len(list_runs(home / "runs")) == before + 2
    assert first["run_id"] != second["run_id"]
    assert [item["id"] for item in first["evidence"]] == [item["id"] for item in second["evidence"]]
    assert first["usage"]["turns"] == second["usage"]["turns"]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"image": None}, "no image is set"),
        ({"image": ""}, "no image is set"),
        ({"image": "/nowhere/part.png"}, "/nowhere/part.png"),
        ({"references": "good.png"}, "`references` is set wrongly"),
        ({"planner": "nobody"}, "there is no planner 'nobody'"),
    ],
)
def test_a_run_that_cannot_be_done_ends_with_one_line_that_the_server_passes_on(
    factory: Factory, config: RunnableConfig, changed: dict[str, Any], line: str
) -> None:
    wrong: RunnableConfig = {"configurable": {**config["configurable"], **changed}}
    # langgraph-api replaces the words of any other kind of error by "An internal error occurred"
    with pytest.raises(RuntimeError, match=line) as raised:
        factory(wrong).invoke({}, wrong)
    assert type(raised.value).__name__ == "StudioError"
    assert "\n" not in str(raised.value)
