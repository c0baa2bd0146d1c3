"""The graph for LangGraph Studio and LangGraph's server, which find the factory of this file by `langgraph.json`.

What to inspect is configuration, so a run needs no input. Every run is an inspection of its own with its trace in the
home folder. No key of a language model's server can be set here, since the server would keep it.
"""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import Annotated, Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from pydantic import BaseModel, Field, ValidationError

from agent.diagnosis import Inspection
from agent.graph import Room, build_graph
from agent.inspector import Inspector, expected_errors
from agent.planners import make_planner

_ONE_AT_A_TIME = threading.Lock()  # detectors and a model's weights are shared, the server's runs are not ordered


class StudioError(RuntimeError):
    """A run that cannot be done as it is set: what is wrong and what to do, in one line.

    The server shows the words of a RuntimeError and keeps those of other errors to its log.
    """


class Options(BaseModel):
    """What can be set in Studio; files and folders are those of the server's machine."""

    image: Annotated[str, Field(description="photograph of the part")] = ""
    references: Annotated[list[str], Field(description="photographs of good parts")] = []
    product: Annotated[str, Field(description="name of the product, limits the knowledge to it")] = ""
    question: Annotated[str, Field(description="what to look for or to answer")] = ""
    planner: Annotated[str, Field(description="rules, qwen:MODEL or openai:URL#MODEL")] = "rules"
    home: Annotated[str, Field(description="folder for knowledge and runs")] = "~/.flawlens"


class Answer(BaseModel):
    """The state: the folder of the run's trace, and its diagnosis."""

    run: str = ""
    diagnosis: dict[str, Any] = {}


def inspection_graph(config: RunnableConfig) -> CompiledStateGraph[Answer, Options, Answer, Answer]:
    """The graph with one inspection as a graph inside its node; nothing is read or written before it runs."""
    chosen = config.get("configurable", {})
    drawing = build_graph(cast("Room", None))

    def inspect(state: Answer) -> dict[str, Any]:  # noqa: ARG001
        _ = drawing  # never run: Studio draws, and lets through the steps of, the graphs that a node's function names
        return _inspected(chosen)

    graph = StateGraph(Answer, context_schema=Options)
    graph.add_node("inspect", inspect)
    graph.add_edge(START, "inspect")
    graph.add_edge("inspect", END)
    return graph.compile(name="flawlens")


def _inspected(chosen: dict[str, Any]) -> dict[str, Any]:
    """Inspect what is configured; StudioError when that cannot be."""
    options = _options(chosen)
    image, *references = (Path(path).expanduser() for path in [options.image, *options.references])
    inspection = Inspection(image, tuple(references), options.product or None, options.question or None)
    try:
        with _ONE_AT_A_TIME:
            run = _inspector(options.planner, options.home).inspect(inspection)
    except expected_errors() as error:
        raise StudioError(str(error)) from error
    assert run.diagnosis is not None
    return {"run": str(run.folder), "diagnosis": run.diagnosis}


def _options(chosen: dict[str, Any]) -> Options:
    """The options among the server's own settings; StudioError for a missing image or a wrong type."""
    try:
        options = Options(**{name: value for name, value in chosen.items() if value is not None})
    except ValidationError as error:
        (fault, *_) = error.errors()
        where = ".".join(map(str, fault["loc"]))
        raise StudioError(f"`{where}` is set wrongly: {fault['msg']}; change it in the assistant's settings") from error
    if not options.image:
        raise StudioError("no image is set: set `image` to a photograph of the part in the assistant's settings")
    return options


@cache
def _inspector(planner: str, home: str) -> Inspector:
    """One for each planner and home, so that weights and fitted detectors are kept between runs."""
    return Inspector(Path(home).expanduser(), make_planner(planner), planner)
