"""Whatever tokens are drawn, a constrained reply is free words and then one call that fits its schema."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
import torch

from agent.planners.grammar import Constraint, Grammars, Thinking
from agent.wire.dialect import Call
from tests.agent.planners.tiny_qwen import LOGITS, NEW_TAGS, TAGS, tiny_tokenizer

ENDS = [tiny_tokenizer(TAGS).convert_tokens_to_ids(mark) for mark in ("<|im_end|>", "<|endoftext|>")]
BOX = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 1000}, "minItems": 4, "maxItems": 4}
ZOOM = Call(
    name="zoom",
    arguments={
        "type": "object",
        "properties": {"image": {"enum": ["part", "reference_1"]}, "box": BOX},
        "required": ["image", "box"],
        "additionalProperties": False,
    },
)
ACTION = {"type": "string", "pattern": r"^[^\"\\\[\]\n]{3,9} \[(general practice|k1)\]$"}


def verdict(name: str, least: float, most: float) -> dict[str, Any]:
    properties = {
        "verdict": {"const": name},
        "probability": {"type": "number", "minimum": least, "maximum": most},
        "summary": {"type": "string", "minLength": 1, "maxLength": 12},
        "actions": {"type": "array", "items": ACTION, "maxItems": 2},
        "box": {"anyOf": [BOX, {"type": "null"}]},
    }
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


SUBMIT = Call(name="submit", arguments={"anyOf": [verdict("normal", 0, 0.4), verdict("defective", 0.6, 1)]})
SCHEMAS = {call["name"]: call["arguments"] for call in (ZOOM, SUBMIT)}
REPLY = re.compile(r"(?P<words>.*)<tool_call>\n(?P<call>\{.*\})\n</tool_call>", re.DOTALL)


def grammars(tags: tuple[str, ...] = TAGS) -> Grammars:
    return Grammars(tiny_tokenizer(tags), LOGITS, ENDS)


def drawn(constraint: Constraint, choose: Callable[[list[int]], int], most: int = 900) -> list[int]:
    """Token ids as `choose` picks them among the allowed ones, up to an end; a prompt of three tokens before."""
    ids = [1, 2, 3]
    for _ in range(most):
        scores = constraint(torch.tensor([ids]), torch.zeros(1, LOGITS))
        ids.append(choose(torch.isfinite(scores[0]).nonzero().flatten().tolist()))
        if ids[-1] in ENDS:
            return ids[3:-1]
    raise AssertionError(f"no end after {most} tokens")


def text(ids: list[int], tags: tuple[str, ...] = TAGS) -> str:
    return str(tiny_tokenizer(tags).decode(ids, skip_special_tokens=False))


@pytest.mark.parametrize("tags", [TAGS, ()], ids=["tags are tokens", "tags are text"])
@pytest.mark.parametrize("thought", [0, 12])
def test_any_drawn_reply_is_one_call_that_fits_its_schema(tags: tuple[str, ...], thought: int) -> None:
    made = grammars(tags)
    names = set()
    for seed in range(20):
        reply = REPLY.fullmatch(text(drawn(made.constraint([ZOOM, SUBMIT], thought), random.Random(seed).choice), tags))
        assert reply is not None
        call = json.loads(reply["call"])
        jsonschema.validate(call["arguments"], SCHEMAS[call["name"]])
        assert call.keys() == {"name", "arguments"}
        assert bool(reply["words"]) <= bool(thought)
        assert not re.search("</?(tool_call|think)>", reply["words"])
        names.add(call["name"])
    assert names == {"zoom", "submit"}


def test_only_what_is_offered_can_be_called() -> None:
    made = grammars()
    for seed in range(10):
        ids = drawn(made.constraint([ZOOM], 0), random.Random(seed).choice)
        assert '{"name": "zoom", "arguments": {"image": "' in text(ids)


def test_words_before_the_call_are_bounded_in_tokens() -> None:
    opening = tiny_tokenizer(TAGS).convert_tokens_to_ids("<tool_call>")
    constraint = grammars().constraint([ZOOM], 7)
    ids = drawn(constraint, lambda allowed: next((token for token in allowed if token != opening), opening))
    assert ids.index(opening) == 7


@pytest.mark.parametrize(
    ("thinking", "thought", "shape"),
    [
        ("opened", 5, r".*</think>.*<tool_call>\n.*"),
        ("opened", 0, r"\n</think>\n\n<tool_call>\n.*"),
        ("allowed", 5, r"(<think>.*</think>)?.*<tool_call>\n.*"),
        ("allowed", 0, r"<tool_call>\n.*"),
    ],
)
def test_thinking_comes_first_is_closed_and_can_be_switched_off(thinking: Thinking, thought: int, shape: str) -> None:
    tags = TAGS + NEW_TAGS
    made = grammars(tags)
    for seed in range(20):
        constraint = made.constraint([ZOOM], thought, thinking, 9 if thought else 0)
        reply = text(drawn(constraint, random.Random(seed).choice), tags)
        assert re.fullmatch(shape, reply, re.DOTALL), reply
        assert reply.count("<think>") <= 1
        assert reply.count("</think>") == (thinking == "opened" or "<think>" in reply)


def test_every_number_ends_however_much_a_model_likes_digits() -> None:
    tokenizer = tiny_tokenizer(TAGS)

    def digits_first(allowed: list[int]) -> int:
        return next((token for token in allowed if tokenizer.decode([token]) in "0123456789"), allowed[0])

    reply = text(drawn(grammars().constraint([SUBMIT], 0), digits_first, most=200))
    assert re.search(r'"probability": \d\.\d{1,3},', reply)


def test_replies_of_one_grammar_do_not_disturb_each_other() -> None:
    made = grammars()
    first, second = made.constraint([ZOOM], 0), made.constraint([ZOOM], 0)
    prompt = torch.tensor([[1, 2, 3]])
    alone = first(prompt, torch.zeros(1, LOGITS))
    opening = int(torch.isfinite(alone[0]).nonzero()[0])
    first(torch.tensor([[1, 2, 3, opening]]), torch.zeros(1, LOGITS))
    assert torch.equal(second(prompt, torch.zeros(1, LOGITS)), alone)


def test_a_token_that_the_grammar_forbids_is_noticed() -> None:
    constraint = grammars().constraint([ZOOM], 0)
    constraint(torch.tensor([[1, 2, 3]]), torch.zeros(1, LOGITS))
    with pytest.raises(RuntimeError, match="grammar broke"):
        constraint(torch.tensor([[1, 2, 3, ENDS[0]]]), torch.zeros(1, LOGITS))


def test_calls_that_no_grammar_can_express_are_named() -> None:
    impossible = {"type": "string", "pattern": "(?=ahead)"}
    with pytest.raises(ValueError, match="no grammar for these calls"):
        grammars().constraint([Call(name="zoom", arguments=impossible)], 0)
    with pytest.raises(ValueError, match="may call nothing"):
        grammars().constraint([], 0)
