"""What may be called in one turn, as JSON schemas that a decoder can hold a model to.

The tools' own schemas, tightened to this run: ids that exist, boxes inside a picture, texts that end. A defect's box is
one that some evidence shows, and the probability agrees with the verdict: a decoder cannot check either afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import AnyMessage, ToolMessage

from agent.submission import GENERAL_PRACTICE, SUBMIT
from agent.wire.boxes import BoxError
from agent.wire.dialect import Call
from agent.wire.sight import Sight

Schema = dict[str, Any]
_SPECIAL = re.compile(r"[.*+?^${}()|\[\]\\/]")  # of JSON schema's patterns, which know no escaped blanks
MOST_ITEMS = 3
MOST_BOXES = 24
# Few steps, since a small model writes endless decimals and some decoders ignore ranges.
DEFECTIVE = [0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99]
UNCERTAIN = [0.45, 0.5, 0.55]
NORMAL = [round(1 - value, 2) for value in reversed(DEFECTIVE)]


def calls_now(offered: Sequence[dict[str, Any]], sight: Sight, messages: Sequence[AnyMessage]) -> list[Call]:
    """The calls that are possible in the coming turn, without references; `offered` is in the form of OpenAI's API."""
    evidence = [m.artifact for m in messages if isinstance(m, ToolMessage) and isinstance(m.artifact, dict)]
    tighten = Tighten(sight, evidence)
    calls = []
    for function in (tool["function"] for tool in offered):
        schema = tighten.object(function["parameters"])
        arguments = _by_verdict(schema) if function["name"] == SUBMIT else schema
        calls.append(Call(name=function["name"], arguments=arguments))
    return calls


class Tighten:
    """Narrows schemas to what this run's pictures and evidence allow."""

    def __init__(self, sight: Sight, evidence: Sequence[dict[str, Any]]) -> None:
        self.sight = sight
        self.longest = sight.dialect.longest_text
        self.evidence = [item["id"] for item in evidence]
        self.knowledge = sorted({passage["id"] for item in evidence for passage in item["passages"]})
        self.boxes = self._boxes(evidence)
        views = sight.named
        self.named: dict[str, Callable[[Schema], Schema]] = {
            "image": lambda _: {"enum": views},
            "reference": lambda _: {"enum": [name for name in views if name.startswith("reference_")] or ["none"]},
            "box": self._free_box,
            "defects": self._defects,
            "evidence": lambda schema: _some(self.evidence, at_least=schema.get("minItems", 0)),
            "knowledge": lambda _: _some(self.knowledge),
            "actions": self._cited,
            "prevention": self._cited,
        }

    def object(self, schema: Schema) -> Schema:
        """An object with all its properties, none optional."""
        properties = {
            name: self.named.get(name, self.value)(value) for name, value in schema.get("properties", {}).items()
        }
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    def value(self, schema: Schema) -> Schema:
        """Any schema, with an end to every text and list and without words for a reader."""
        if "enum" in schema or "const" in schema:
            return {"enum": schema.get("enum", [schema.get("const")])}
        if schema.get("type") == "object":
            return self.object(schema)
        if schema.get("type") == "array":
            most = min(schema.get("maxItems", MOST_ITEMS), MOST_ITEMS)
            return {"type": "array", "items": self.value(schema["items"]), "maxItems": most}
        if schema.get("type") == "string":
            return {
                "type": "string",
                "minLength": int("default" not in schema),
                "maxLength": min(schema.get("maxLength", 600), self.longest),
            }
        return {key: value for key, value in schema.items() if key in ("type", "minimum", "maximum", "anyOf")}

    def _defects(self, schema: Schema) -> Schema:
        if not self.boxes:
            return {"enum": [[]]}
        defect = self.object(schema["items"])
        defect["properties"]["box"] = {"enum": self.boxes}
        return {"type": "array", "items": defect, "maxItems": MOST_ITEMS}

    def _boxes(self, evidence: Sequence[dict[str, Any]]) -> list[list[float]]:
        """Boxes on the part that evidence shows, in the model's scale."""
        regions = [
            region["box"]
            for item in evidence
            if item["numbers"].get("source", "part") == "part"
            for region in item["regions"]
        ]
        try:
            found = [self.sight.box_to(box, "part") for box in regions]
        except BoxError:
            return []
        return [list(box) for box in dict.fromkeys(map(tuple, found))][:MOST_BOXES]

    def _free_box(self, _: Schema) -> Schema:
        """Four numbers up to the longest side; the wire checks the rest."""
        if self.sight.dialect.boxes == "unit":
            edge: Schema = {"type": "number", "minimum": 0, "maximum": 1}
        else:
            edge = {"type": "integer", "minimum": 0, "maximum": self._longest_side()}
        return {"type": "array", "items": edge, "minItems": 4, "maxItems": 4}

    def _longest_side(self) -> int:
        if self.sight.dialect.boxes == "thousand":
            return 1000
        frames = [self.sight.frame(name) for name in self.sight.named]
        return max(max(frame.height, frame.width) for frame in frames)

    def _cited(self, _: Schema) -> Schema:
        """Texts without brackets that end with a source."""
        sources = "|".join(_SPECIAL.sub(r"\\\g<0>", name) for name in [*self.knowledge, GENERAL_PRACTICE])
        text = rf'[^"\\\[\]\n\r\t]{{3,{self.longest}}}'
        return {
            "type": "array",
            "items": {"type": "string", "pattern": rf"^{text} \[({sources})\]$"},
            "maxItems": MOST_ITEMS,
        }


def _some(names: Sequence[str], at_least: int = 0) -> Schema:
    if not names:
        return {"enum": [[]]}
    return {"type": "array", "items": {"enum": list(names)}, "minItems": at_least, "maxItems": MOST_ITEMS}


def _by_verdict(schema: Schema) -> Schema:
    """One variant of the diagnosis a verdict, so that no answer contradicts itself."""

    properties = schema["properties"]
    found = properties["defects"]
    some = {**found, "minItems": 1} if "items" in found else found

    def variant(verdict: str, probabilities: list[float], defects: Schema, **repair: Schema) -> Schema:
        actions = {**properties["repair"], "properties": {**properties["repair"]["properties"], **repair}}
        fixed = {"verdict": {"enum": [verdict]}, "probability": {"enum": probabilities}}
        return {**schema, "properties": {**properties, **fixed, "defects": defects, "repair": actions}}

    nothing: Schema = {"enum": [[]]}
    accept = {"disposition": {"enum": ["accept"]}, "actions": nothing, "prevention": nothing, "knowledge": nothing}
    act_on: Schema = {"enum": ["rework", "repair", "scrap", "hold"]}
    return {
        "anyOf": [
            variant("normal", NORMAL, nothing, **accept),
            variant("defective", DEFECTIVE, some, disposition=act_on),
            variant("uncertain", UNCERTAIN, found, disposition={"enum": ["hold"]}),
        ]
    }
