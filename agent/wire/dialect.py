"""What a family of models expects: scale of boxes, sizes and number of pictures, how calls are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypedDict

Scale = Literal["pixels", "thousand", "unit"]
Protocol = Literal["tools", "json"]


class Call(TypedDict):
    """What may be called in one turn: a tool's name and the JSON schema of its arguments, without references."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Dialect:
    """How one family of models is spoken to.

    `boxes`: pixels of the picture as sent, 0-1000, or 0-1. Sides of sent pictures are multiples of `factor` pixels; one
    has `least_pixels` to `most_pixels`, all of a request together at most `request_pixels`. `most_pictures` None means
    any number, 0 text only, 1 everything on one labelled canvas. `protocol`: native tool calls, or one JSON action a
    turn. `longest_text`: characters of one field where the reply is constrained.
    """

    name: str
    boxes: Scale = "thousand"
    factor: int = 32
    least_pixels: int = 64 * 28 * 28
    most_pixels: int = 1280 * 28 * 28
    request_pixels: int = 8 * 1280 * 28 * 28
    most_pictures: int | None = None
    protocol: Protocol = "tools"
    longest_text: int = 400


QWEN2_VL = Dialect("qwen2-vl", "thousand", 28)
QWEN25_VL = Dialect("qwen2.5-vl", "pixels", 28)
QWEN3_VL = Dialect("qwen3-vl", "thousand", 32)
GENERIC = Dialect("generic")
DIALECTS = {dialect.name: dialect for dialect in (QWEN2_VL, QWEN25_VL, QWEN3_VL, GENERIC)}


def spoken_by(planner: object) -> Dialect | None:
    """The dialect of a planner; GENERIC for any langchain chat model, None for one that reads the state itself."""
    dialect: Dialect | None = getattr(planner, "dialect", GENERIC)
    return dialect


def dialect_of(model: str) -> Dialect:
    """The dialect that a model's name suggests, such as `Qwen/Qwen2.5-VL-7B-Instruct`; GENERIC for others."""
    plain = "".join(letter for letter in model.lower() if letter.isalnum())
    for family, dialect in (("qwen25vl", QWEN25_VL), ("qwen3vl", QWEN3_VL), ("qwen2vl", QWEN2_VL)):
        if family in plain:
            return dialect
    return GENERIC
