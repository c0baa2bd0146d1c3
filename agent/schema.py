"""JSON Schemas of what other programs read: a diagnosis, run.json, and a line of events.jsonl.

`python -m agent.schema` writes them into agent/schemas/. A number in a name is raised when a reader of the older one
would no longer understand what is written; fields that are added do not raise it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.diagnosis import ChoiceAnswer, Diagnosis, Outcome, Procedure, Topic
from tools.evidence import Evidence

FOLDER = Path(__file__).parent / "schemas"
VERSION = 1
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Written(BaseModel):
    model_config = ConfigDict(extra="allow")


class Question(_Written):
    """A question with several options, by letter."""

    question: str
    options: dict[str, str]


class Asked(_Written):
    """What was to be inspected; paths as they were given, which may be relative or no longer exist."""

    image: str = Field(description="photograph of the part")
    references: list[str] = Field(description="photographs of good parts")
    product: str | None
    question: str | None
    choices: list[Question] = Field(default_factory=list)


class Setup(_Written):
    """With what it was inspected."""

    planner: str = Field(description="such as rules or qwen:MODEL")
    settings: dict[str, Any] = Field(default_factory=dict, description="the planner's own, such as temperature")
    procedure: Procedure
    detector: str | None = Field(default=None, description="method, its version and its weights")
    profile: str | None = Field(default=None, description="when the product was enrolled, null where it is not")
    prompts: str = Field(description="hash of all prompts")
    versions: dict[str, str] = Field(description="of flawlens and of the packages that a result depends on")


class RunFile(_Written):
    """run.json: one inspection; `diagnosis` is there once it ended, `error` says why one failed or stopped.

    `running` means killed when no process holds the lock on `lock` beside it. `stopped` can go on. A run that goes on
    after its diagnosis keeps it until the next one, whatever its status.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"status": {"const": "finished"}}},
            "then": {"required": ["diagnosis"], "properties": {"diagnosis": {"type": "object"}}},
        }
    )

    format: Literal["flawlens-trace-1"]
    id: str = Field(description="also the name of the run's folder")
    status: Literal["running", "finished", "failed", "stopped"]
    started: str = Field(description="ISO 8601, UTC")
    inspection: Asked
    setup: Setup
    error: str = ""
    diagnosis: Diagnosis | None = None


class Image(_Written):
    """A picture that was loaded; sizes are those of the upright original, `file` is a viewable copy of it."""

    id: str = Field(description="part, reference_1, ...")
    file: str = Field(description="name in the run's folder pictures")
    width: int
    height: int
    sha256: str = Field(description="of the original file")
    notes: list[str] = Field(description="what the loader did")


class Call(_Written):
    """A call of a tool."""

    name: str
    args: dict[str, Any]
    id: str | None


class Message(_Written):
    """A message to or from the planner; pictures are named by id, empty fields are left out."""

    type: str = Field(description="system, human, ai, or tool for a tool's answer")
    content: str | list[str | dict[str, Any]]
    name: str | None = Field(default=None, description="the tool that answers, or the step that speaks")
    tool_calls: list[Call] = Field(default_factory=list)
    tool_call_id: str | None = Field(default=None, description="the call that is answered")
    status: Literal["success", "error"] | None = Field(default=None, description="of a tool's answer")


class Spent(_Written):
    """What one turn of the planner took."""

    prompt_tokens: int
    completion_tokens: int
    seconds: float


class Update(_Written):
    """What a node added to the state; what is not named here is no part of the format."""

    images: list[Image] = Field(default_factory=list)
    topic: Topic | None = None
    messages: list[Message] = Field(default_factory=list)
    evidence: list[Evidence] = Field(default_factory=list)
    spent: list[Spent] = Field(default_factory=list)
    submission: dict[str, Any] | None = Field(default=None, description="the planner's answer, once it was accepted")
    outcome: Outcome | None = None
    failure: str = Field(default="", description="why the planner gave no answer")
    result: dict[str, Any] | None = Field(default=None, description="verdict, confidence, scores and answer, combined")
    choices: list[ChoiceAnswer] = Field(default_factory=list)


class EventLine(_Written):
    """One line of events.jsonl: a step of the graph. The last line of a killed run may be cut off."""

    step: int = Field(ge=0, description="from 0, through all turns of a conversation")
    node: str = Field(description="intake, survey, plan, act, submit, audit, fuse, ...; others may come")
    at: float = Field(description="seconds since the process began to work on the run")
    seconds: float = Field(description="seconds of this step")
    update: Update


MODELS: Mapping[str, type[BaseModel]] = {"diagnosis": Diagnosis, "run": RunFile, "event": EventLine}


def schema_of(name: str) -> dict[str, Any]:
    """The schema of a `diagnosis`, a `run` or an `event`."""
    made = MODELS[name].model_json_schema(mode="serialization")
    return {"$schema": DIALECT, "$id": f"flawlens:{name}-{VERSION}", **made, "title": f"flawlens {name} {VERSION}"}


def text_of(name: str) -> str:
    """The schema as it is written."""
    return json.dumps(schema_of(name), ensure_ascii=False, indent=1) + "\n"


def file_of(name: str) -> Path:
    """Where the schema is written."""
    return FOLDER / f"{name}-{VERSION}.json"


def main() -> None:
    """Writes all of them."""
    FOLDER.mkdir(exist_ok=True)
    for name in MODELS:
        file_of(name).write_text(text_of(name), encoding="utf-8")


if __name__ == "__main__":
    main()
