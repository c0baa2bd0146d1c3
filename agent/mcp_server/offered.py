"""What is offered: each tool with its description, the arguments it takes, and what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.diagnosis import Diagnosis
from agent.inspector import Watch
from agent.mcp_server.parts import Parts
from agent.mcp_server.words import diagnosis_in_words, product_in_words, run_in_words
from agent.submission import faults_of
from agent.terminal import summary_of
from tools import toolbox
from tools.drawing import boxes
from tools.evidence import Evidence, Region, ToolError
from tools.image import Box

if TYPE_CHECKING:
    from agent.conversation import Conversation

PART = "part"
MOST_PICTURES = 4  # of an inspection; the tools show more


@dataclass(frozen=True)
class Answer:
    """Words, values, and pictures as files."""

    text: str
    values: dict[str, Any]
    pictures: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Offered:
    """One tool: the JSON schemas of its arguments and of its values, and the function that carries it out.

    `only_reads`: it looks at no picture, so that it need not wait for one that does.
    """

    description: str
    schema: dict[str, Any]
    do: Callable[[dict[str, Any], Watch], Answer]
    gives: dict[str, Any] | None = None
    only_reads: bool = False


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PartArguments(_Arguments):
    """A part to look at."""

    image: str = Field(description="photograph of the part, below an allowed folder")
    references: list[str] = Field(default=[], description="photographs of good parts, or folders of them")
    product: str | None = Field(default=None, description="name of the product; an enrolled one lends its good parts")


class InspectArguments(PartArguments):
    """A part to inspect."""

    question: str | None = Field(default=None, description="what to look for or to answer")


class FollowArguments(_Arguments):
    """A question on an inspected part."""

    part: str = Field(description="id of the part, from inspect")
    question: str = Field(min_length=1, max_length=600, description="the question, in any language")


class RunArguments(_Arguments):
    """A run."""

    run: str = Field(description="id of the run, or its beginning")


class NoArguments(_Arguments):
    """None."""


def offered_by(parts: Parts) -> dict[str, Offered]:
    """Every tool of the server by name."""
    return {
        "inspect": Offered(
            "Inspect a part and return the diagnosis: verdict, probabilities, defects with places, causes, what to do,"
            " and the evidence for each. `part` in the result names it for the other tools.",
            InspectArguments.model_json_schema(),
            lambda arguments, watch: _inspect(parts, InspectArguments(**arguments), watch),
            Diagnosis.model_json_schema(mode="serialization"),
        ),
        "open_part": Offered(
            "Load a part and its good parts without inspecting it, to call single tools on it. Returns its id and the"
            " ids of its images.",
            PartArguments.model_json_schema(),
            lambda arguments, _: _open(parts, PartArguments(**arguments)),
        ),
        "follow_up": Offered(
            "Ask a question on an inspected part; it is answered from all evidence and new looks, the verdict stays.",
            FollowArguments.model_json_schema(),
            lambda arguments, watch: _follow(parts, FollowArguments(**arguments), watch),
        ),
        "get_run": Offered(
            "The diagnosis of a past inspection, or how it stands if there is none.",
            RunArguments.model_json_schema(),
            lambda arguments, _: _run(parts, RunArguments(**arguments)),
            only_reads=True,
        ),
        "list_products": Offered(
            "The enrolled products, whose good parts and normal range are known.",
            NoArguments.model_json_schema(),
            lambda arguments, _: _products(parts, NoArguments(**arguments)),
            only_reads=True,
        ),
        **dict(_of_the_toolbox(parts)),
    }


def carry_out(offered: Offered, arguments: dict[str, Any], watch: Watch) -> Answer:
    """What a tool answers; ToolError that names each argument that does not fit."""
    try:
        return offered.do(arguments, watch)
    except ValidationError as error:
        raise ToolError("the arguments do not fit: " + "; ".join(faults_of(error))) from error


def _of_the_toolbox(parts: Parts) -> Iterator[tuple[str, Offered]]:
    """The planner's own tools, each with the part that it is called on."""
    described = {"type": "string", "description": "id of the part, from inspect or open_part"}
    nothing = cast("Any", None)
    gives = Evidence.model_json_schema(mode="serialization")
    for tool in toolbox(nothing, nothing, parts.inspector.knowledge, None, remembered=lambda: ()):
        schema = convert_to_openai_tool(tool)["function"]["parameters"]
        takes = {PART: described, **schema.get("properties", {})}
        whole = {**schema, "properties": takes, "required": [PART, *schema.get("required", [])]}
        schema = {**whole, "additionalProperties": False}
        yield tool.name, Offered(tool.description, schema, _calling(parts, tool.name), gives)


def _calling(parts: Parts, tool: str) -> Callable[[dict[str, Any], Watch], Answer]:
    def call(arguments: dict[str, Any], watch: Watch) -> Answer:  # noqa: ARG001
        part = arguments.get(PART)
        if not isinstance(part, str):
            raise ToolError("the arguments do not fit: part: the id of an open part is required")
        given = {name: value for name, value in arguments.items() if name != PART}
        text, item, folder = parts.call(part, tool, given)
        return Answer(text, item.model_dump(mode="json"), _files(item, folder))

    return call


def _files(item: Evidence, folder: Path) -> tuple[Path, ...]:
    return tuple(folder / name for name in item.files)


def _inspect(parts: Parts, asked: InspectArguments, watch: Watch) -> Answer:
    part = parts.open(asked.image, asked.references, asked.product, asked.question, watch)
    diagnosis = part.inspect(watch).diagnosis
    assert diagnosis is not None
    shown = [Evidence(**item) for item in diagnosis["evidence"] if item["above_normal"]]
    pictures = [path for item in shown for path in _files(item, part.album.folder)]
    marked = [_marked(part, diagnosis["defects"])] if diagnosis["defects"] else []
    text = f"part {part.id}: {diagnosis_in_words(diagnosis)}"
    return Answer(text, {"part": part.id, **diagnosis}, tuple([*marked, *pictures][:MOST_PICTURES]))


def _marked(part: Conversation, defects: list[dict[str, Any]]) -> Path:
    """The part with the boxes of its defects, numbered in their order."""
    places = [Region(box=Box(*one["box"]), score=0.0) for one in defects]
    return part.album.folder / part.album.save("defects", boxes(part.album.part, places))


def _open(parts: Parts, asked: PartArguments) -> Answer:
    part = parts.open(asked.image, asked.references, asked.product)
    images = list(part.album.views)
    return Answer(f"part {part.id} with the images {', '.join(images)}", {"part": part.id, "images": images})


def _follow(parts: Parts, asked: FollowArguments, watch: Watch) -> Answer:
    diagnosis = parts.get(asked.part).follow(asked.question, watch).diagnosis
    assert diagnosis is not None
    exchange = diagnosis["exchanges"][-1]
    return Answer(exchange["answer"] or f"no answer ({exchange['outcome']})", exchange)


def _run(parts: Parts, asked: RunArguments) -> Answer:
    run = parts.run(asked.run)
    steps = [{"step": event.step, "node": event.node, "seconds": event.seconds} for event in run.events]
    return Answer(run_in_words(run), {**summary_of(run), "steps": steps, "diagnosis": run.diagnosis})


def _products(parts: Parts, _: NoArguments) -> Answer:
    profiles = [parts.inspector.profiles.get(name) for name in parts.inspector.profiles.names()]
    told = ("name", "made_with", "created", "mm_per_pixel")
    values = [{**one.model_dump(include={*told}), "good_parts": len(one.normals)} for one in profiles]
    return Answer("\n".join(map(product_in_words, profiles)) or "none is enrolled", {"products": values})
