"""Random models of the real classes: valid calls under constraint, raw text without, streamed, bounded, in turns."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from agent.planners import PlannerError
from agent.planners.qwen_vl import QwenVL
from agent.wire.dialect import Call
from tests.agent.planners.conftest import Checkpoints
from tests.agent.planners.tiny_qwen import planner, question, with_template, zoom

BOTH = pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
MARK = {
    "type": "object",
    "properties": {
        "image": {"enum": ["part"]},
        "x": {"type": "integer", "minimum": 0, "maximum": 1000},
        "note": {"type": "string", "maxLength": 2},
    },
    "required": ["image", "x", "note"],
    "additionalProperties": False,
}
CALLS = [Call(name="zoom", arguments=MARK), Call(name="end", arguments={"enum": [{}]})]
SCHEMAS = {call["name"]: call["arguments"] for call in CALLS}
ENDLESS = [Call(name="zoom", arguments={**MARK, "properties": {**MARK["properties"], "note": {"type": "string"}}})]


@BOTH
@pytest.mark.parametrize("thought_tokens", [0, 6])
def test_a_random_model_under_constraint_makes_one_valid_call_in_twenty_of_twenty_replies(
    checkpoints: Checkpoints, family: str, thought_tokens: int
) -> None:
    for seed in range(20):
        model = planner(checkpoints(family), seed=seed, temperature=1.0, thought_tokens=thought_tokens)
        reply = model.bind_tools([zoom], calls=CALLS).invoke(question(model.dialect.factor))
        (call,) = reply.tool_calls
        jsonschema.validate(call["args"], SCHEMAS[call["name"]])
        assert reply.response_metadata["finish_reason"] == "stop"
        assert reply.text.endswith("</tool_call>")
        assert thought_tokens or reply.text.startswith("<tool_call>")


@BOTH
def test_a_reply_without_constraint_comes_back_as_it_was_generated(checkpoints: Checkpoints, family: str) -> None:
    for seed in range(5):
        model = planner(checkpoints(family), seed=seed, temperature=1.0, max_new_tokens=40)
        reply = model.bind_tools([zoom]).invoke(question(model.dialect.factor))
        assert reply.usage_metadata is not None
        assert 0 < reply.usage_metadata["output_tokens"] <= 40
        assert not reply.text.endswith("<|im_end|>")


def test_plain_chat_needs_no_tools(checkpoints: Checkpoints) -> None:
    reply = planner(checkpoints("qwen2_vl"), max_new_tokens=8).invoke("hello")
    assert reply.response_metadata["image_tokens"] == 0
    assert reply.tool_calls == []


def test_greedy_replies_take_the_likeliest_token_whatever_the_checkpoint_ships(checkpoints: Checkpoints) -> None:
    model = planner(checkpoints("qwen2_5_vl"), max_new_tokens=24)
    prompt, inputs = model.inputs(question(28))
    weights = model.weights
    ids = inputs["input_ids"]
    for _ in range(24):
        known = {"pixel_values": inputs["pixel_values"], "image_grid_thw": inputs["image_grid_thw"]}
        kinds = (ids == weights.processor.image_token_id).int()
        with torch.inference_mode():
            scores = weights.model(input_ids=ids, mm_token_type_ids=kinds, **known).logits
        ids = torch.cat([ids, scores[:, -1].argmax(-1, keepdim=True)], dim=1)
        if int(ids[0, -1]) in weights.ends:
            break
    expected = weights.processor.tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=False)
    assert expected.startswith(model.invoke(question(28)).text)
    assert prompt.endswith("<|im_start|>assistant\n")


@BOTH
def test_a_streamed_reply_equals_an_invoked_one(checkpoints: Checkpoints, family: str) -> None:
    model = planner(checkpoints(family), temperature=1.0, seed=3)
    bound = model.bind_tools([zoom], calls=CALLS)
    whole = bound.invoke(question(model.dialect.factor))
    pieces = list(bound.stream(question(model.dialect.factor)))
    total = pieces[0]
    for piece in pieces[1:]:
        total += piece
    assert len(pieces) > 10
    assert total.text == whole.text
    assert total.usage_metadata == whole.usage_metadata
    assert total.response_metadata == whole.response_metadata
    assert [call["args"] for call in total.tool_calls] == [call["args"] for call in whole.tool_calls] != []


def test_the_seed_alone_decides_what_is_drawn_and_others_keep_their_random_numbers(checkpoints: Checkpoints) -> None:
    def text(seed: int) -> str:
        model = planner(checkpoints("qwen2_5_vl"), temperature=1.0, seed=seed, max_new_tokens=12)
        return str(model.invoke("hello").text)

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = text(1)
    assert torch.equal(torch.rand(1), expected)
    assert first == text(1) != text(2)


@pytest.fixture
def counted(checkpoints: Checkpoints) -> Iterator[list[float]]:
    """When each forward pass of the tiny Qwen2.5-VL began."""
    begun: list[float] = []
    model = planner(checkpoints("qwen2_5_vl")).weights.model
    hook = model.register_forward_pre_hook(lambda *_: begun.append(time.monotonic()))
    yield begun
    hook.remove()


def test_generation_stops_when_its_reader_leaves(checkpoints: Checkpoints, counted: list[float]) -> None:
    model = planner(checkpoints("qwen2_5_vl"), max_new_tokens=2000)
    stream = model.bind_tools([zoom], calls=ENDLESS).stream(question(28))
    next(stream)
    stream.close()
    passes = len(counted)
    time.sleep(0.1)
    assert len(counted) == passes < 50
    assert not model.weights.lock.locked()


def test_a_reply_ends_when_its_time_is_up(checkpoints: Checkpoints) -> None:
    model = planner(checkpoints("qwen2_5_vl"), max_new_tokens=8000)
    started = time.monotonic()
    reply = model.bind_tools([zoom], calls=ENDLESS, seconds=0.3).invoke(question(28))
    assert time.monotonic() - started < 5
    assert reply.response_metadata["finish_reason"] == "time"
    assert reply.tool_calls == []


def test_a_reply_that_is_too_long_says_so(checkpoints: Checkpoints) -> None:
    reply = planner(checkpoints("qwen3_vl"), max_new_tokens=9).bind_tools([zoom], calls=CALLS).invoke(question(32))
    assert reply.response_metadata["finish_reason"] == "length"
    assert reply.usage_metadata is not None
    assert reply.usage_metadata["output_tokens"] == 9


def test_an_error_of_the_model_reaches_the_caller(checkpoints: Checkpoints) -> None:
    model = planner(checkpoints("qwen2_5_vl"))

    def exhaust(*_: Any) -> None:
        torch.empty(1 << 60, dtype=torch.uint8)

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("in the model")

    def invoked(broken: Callable[..., None]) -> None:
        hook = model.weights.model.register_forward_pre_hook(broken)
        try:
            model.invoke("hello")
        finally:
            hook.remove()

    with pytest.raises(PlannerError, match=r"not enough memory to answer.*--image-pixels"):
        invoked(exhaust)
    with pytest.raises(ZeroDivisionError):
        invoked(fail)
    assert model.invoke("hello").usage_metadata


def test_two_threads_take_turns(checkpoints: Checkpoints, counted: list[float]) -> None:
    model = planner(checkpoints("qwen2_5_vl"), temperature=1.0).bind_tools([zoom], calls=CALLS)
    alone = model.invoke(question(28)).text
    with ThreadPoolExecutor(2) as pool:
        together = [reply.text for reply in pool.map(lambda _: model.invoke(question(28)), range(4))]
    assert together == [alone] * 4


@pytest.mark.parametrize("thought_tokens", [0, 6])
def test_a_thinking_checkpoint_thinks_before_its_call_unless_told_not_to(
    checkpoints: Checkpoints, tmp_path: Path, thought_tokens: int
) -> None:
    ours = planner(checkpoints("qwen3_vl")).checkpoint.template
    opened = ours.replace('"<|im_start|>assistant\\n" if', '"<|im_start|>assistant\\n<think>\\n" if')
    folder = with_template(checkpoints("qwen3_vl"), tmp_path / "thinking", opened)
    for seed in range(5):
        model = planner(folder, seed=seed, temperature=1.0, thought_tokens=thought_tokens)
        reply = model.bind_tools([zoom], calls=CALLS).invoke(question(32))
        thought, closing, rest = reply.text.partition("</think>")
        assert closing
        assert bool(thought.strip()) == bool(thought_tokens)
        assert "<tool_call>" in rest
        assert len(reply.tool_calls) == 1


def test_the_settings_hold_all_that_shapes_a_reply(checkpoints: Checkpoints) -> None:
    model = planner(checkpoints("qwen2_5_vl"), temperature=0.7, seed=4, most_pixels=28 * 28 * 10)
    settings = json.loads(json.dumps(model.settings))
    own = set(QwenVL.model_fields) - set(QwenVL.__base__.model_fields)
    assert own - {"checkpoint", "placement", "dialect"} <= settings.keys()
    assert (
        settings
        | {
            "device": "cpu",
            "dtype": "float32",
            "attention": "sdpa",
            "temperature": 0.7,
            "seed": 4,
            "most_pixels": 7840,
            "least_pixels": 3920,
            "request_pixels": 62_720,
            "family": "qwen2.5-vl",
        }
        == settings
    )
    assert settings["versions"].keys() == {"torch", "transformers", "llguidance"}
