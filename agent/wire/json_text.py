"""JSON out of a model's text: with words behind it, in Python's spelling, encoded twice; never evaluated."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

OBJECT_START = re.compile(r"\{(?=\s*[\"'}])|\[(?=\s*\{)")  # of an object or a list of objects
_DEEPEST = 20
_LONGEST_LITERAL = 20_000  # characters
_MOST_STARTS = 50  # attempts in one text, so that a long one of brackets only is left in time
_ALIASES = ("bbox_2d", "bbox")
_NAMES = {"true": True, "false": False, "null": None}
# NaN and Infinity are no JSON: as text they fail every check for a number
_DECODER = json.JSONDecoder(strict=False, parse_constant=str)


class JsonError(ValueError):
    """Why a text is no JSON, in words for the planner."""


class UnfinishedError(JsonError):
    """JSON that does not end."""


@dataclass(frozen=True)
class Value:
    """What a text holds, the position after it, and how it had to be read."""

    value: Any
    end: int
    flags: frozenset[str] = frozenset()


def value_at(text: str, start: int = 0) -> Value:
    """The JSON value that begins at `start`, whatever follows it; as a last resort a Python literal. JsonError."""
    try:
        return Value(*_DECODER.raw_decode(text, start))
    except RecursionError:
        raise JsonError("the JSON is nested too deeply") from None
    except ValueError as error:
        place = text[getattr(error, "pos", start) :][:30]
        reason = f"the JSON is broken at {place!r} ({getattr(error, 'msg', error)})"
        end = _closing(text, start)
        if end is None:
            raise UnfinishedError(f"{reason} and does not end") from None
        return Value(_literal(text[start:end], reason), end, frozenset({"Python literal"}))


def values_in(text: str) -> Iterator[tuple[int, Value | JsonError]]:
    """Where an object or a list of objects begins, and the value or what is wrong with it, in order."""
    end = attempts = 0
    for found in OBJECT_START.finditer(text):
        start = found.start()
        if start < end:
            continue
        attempts += 1
        if attempts > _MOST_STARTS:
            return
        try:
            value = value_at(text, start)
        except JsonError as error:
            yield start, error
        else:
            end = value.end
            yield start, value


def tidied(value: Any, flags: set[str], depth: int = 0) -> Any:
    """Plain JSON that can be stored: `box` by its one name, lists and objects out of strings. Raises JsonError.

    Adds to `flags` what it had to change. Numbers that JSON or 64 bits cannot hold become text.
    """
    if depth > _DEEPEST:
        raise JsonError("the JSON is nested too deeply")
    if isinstance(value, dict):
        alias = None if "box" in value else next((key for key in _ALIASES if key in value), None)
        flags |= {f"{alias} read as box"} if alias else set()
        return {
            "box" if key == alias else storable(str(key)): tidied(_decoded(item, flags), flags, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [tidied(item, flags, depth + 1) for item in value]
    if isinstance(value, str):
        return storable(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else "a number of over 64 bits"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    raise JsonError(f"a {type(value).__name__} is no JSON")


def _decoded(value: Any, flags: set[str]) -> Any:
    """The list or object that a string spells out, else the value itself."""
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "{"):
        return value
    text = value.strip()
    try:
        found = value_at(text)
    except JsonError:
        return value
    if found.end != len(text):
        return value
    flags.add("JSON inside a string")
    return found.value


def storable(value: str) -> str:
    """The text with question marks for half surrogate pairs, which no file takes."""
    return value.encode("utf-8", "replace").decode("utf-8")


def _closing(text: str, start: int) -> int | None:
    """The position after the bracket that closes the one at `start`, passing over quoted strings."""
    depth = 0
    quote = ""
    escaped = False
    for position in range(start, min(len(text), start + _LONGEST_LITERAL)):
        letter = text[position]
        if quote:
            if letter == quote and not escaped:
                quote = ""
            escaped = letter == "\\" and not escaped
        elif letter in "\"'":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
            if depth == 0:
                return position + 1
    return None


def _literal(text: str, reason: str) -> Any:
    """A Python literal in which true, false and null may stand; JsonError with `reason`."""
    try:
        return ast.literal_eval(_JsonNames().visit(ast.parse(text, mode="eval")))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise JsonError(reason) from None


class _JsonNames(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(_NAMES[node.id]) if node.id in _NAMES else node
