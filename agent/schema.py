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

from agent.diagnosis import Diagnosis

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
    """What was to be inspected; paths as they were given."""

    image: str
    references: list[str]
    product: str | None
    question: str | None
    choices: list[Question] = Field(default_factory=list)


class Setup(_Written):
    """With what it was inspected."""

    planner: str
    settings: dict[str, Any] = Field(default_factory=dict)
    procedure: dict[str, Any] = Field(default_factory=dict)
    detector: str | None = None
    profile: str | None = None
    prompts: str
    versions: dict[str, str]


class RunFile(_Written):
    """run.json: one inspection; `diagnosis` is there once it ended, `error` says why one ended without."""

    format: Literal["flawlens-trace-1"]
    id: str
    status: Literal["running", "finished", "failed", "stopped"]
    started: str = Field(description="ISO 8601, UTC")
    inspection: Asked
    setup: Setup
    error: str = ""
    diagnosis: Diagnosis | None = None


class EventLine(_Written):
    """One line of events.jsonl: a step of the graph; `update` is what its node added to the state."""

    step: int = Field(ge=0)
    node: str
    at: float = Field(description="seconds since the process began to work on the run")
    seconds: float = Field(description="seconds of this step")
    update: dict[str, Any]


MODELS: Mapping[str, type[BaseModel]] = {"diagnosis": Diagnosis, "run": RunFile, "event": EventLine}


def schema_of(name: str) -> dict[str, Any]:
    """The schema of a `diagnosis`, a `run` or an `event`."""
    made = MODELS[name].model_json_schema(mode="serialization")
    return {"$schema": DIALECT, "$id": f"flawlens:{name}-{VERSION}", **made}


def text_of(name: str) -> str:
    """The schema as it is written."""
    return json.dumps(schema_of(name), ensure_ascii=False, indent=1) + "\n"


def file_of(name: str) -> Path:
    """Where the schema is written."""
    return FOLDER / f"{name}-{VERSION}.json"


def main() -> None:
    """Writes all of them."""
    for name in MODELS:
        file_of(name).write_text(text_of(name), encoding="utf-8")


if __name__ == "__main__":
    main()
