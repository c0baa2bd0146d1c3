"""What a tool found, in one form for every tool."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tools.image import Box

Notation = Literal["bbox", "contour", "highlight", "mask", "heatmap"]  # how a map is drawn for a model


class ToolError(Exception):
    """A mistake the planner can mend: its text goes back to the planner as the tool's answer."""


class Region(BaseModel):
    """One place in the part that a tool points at.

    `box` is [x0, y0, x1, y1] in 0-1000 of the upright original; `score` is in units of the tool's own limit
    (1.0 = the edge of the normal range); `numbers` are measurements with the unit in the name.
    """

    model_config = ConfigDict(frozen=True)

    box: Box
    score: float
    numbers: dict[str, float | str] = Field(default_factory=dict)


class Evidence(BaseModel):
    """One finding of one tool call.

    `above_normal` is None when the tool has no notion of a normal range (zoom, knowledge) or could not tell;
    `files` are names of pictures in the run's folder; `passages` are retrieved knowledge entries.
    """

    model_config = ConfigDict(frozen=True)

    id: str = ""
    tool: str
    finding: str
    above_normal: bool | None = None
    regions: list[Region] = Field(default_factory=list)
    numbers: dict[str, float | str] = Field(default_factory=dict)
    files: list[str] = Field(default_factory=list)
    passages: list[dict[str, Any]] = Field(default_factory=list)
    seconds: float = 0.0
