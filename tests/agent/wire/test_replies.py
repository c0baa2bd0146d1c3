"""Replies as servers and models really send them, each recorded in replies/ with the outcome it must have."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message

from agent.wire.replies import CUT_OFF, Reply, native_calls, read_reply

Arguments = dict[str, Any]
RECORDED = sorted((Path(__file__).parent / "replies").glob("*.json"))
NAMES = ("anomaly_map", "compare_with_reference", "zoom", "search_knowledge", "submit_diagnosis", "submit_answer")
SECONDS = 2  # for a text of any length on a busy machine


def message(wire: dict[str, Any]) -> AIMessage:
    """The message that langchain-openai makes of a reply, with what the planner adds to it."""
    base = pytest.importorskip("langchain_openai.chat_models.base")
    calls, invalid = native_calls(wire.get("tool_calls") or [])
    made = base._convert_dict_to_message({"role": "assistant", "content": wire["content"]})
    return made.model_copy(
        update={
            "tool_calls": calls,
            "invalid_tool_calls": invalid,
            "response_metadata": {"finish_reason": wire.get("finish_reason")},
            "additional_kwargs": {"reasoning_content": wire.get("reasoning_content")},
        }
    )


def read(text: str, finish: str = "stop") -> Reply:
    return read_reply(AIMessage(text, response_metadata={"finish_reason": finish}), NAMES)


def plain(reply: Reply) -> list[tuple[str, dict[str, Any]]]:
    return [(call["name"], call["args"]) for call in reply.calls]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_reply_has_its_outcome(path: Path) -> None:
    recorded = json.loads(path.read_text(encoding="utf-8"))
    reply = read_reply(message(recorded["message"]), NAMES)
    expected = recorded["expected"]
    assert plain(reply) == [(call["name"], call["args"]) for call in expected["calls"]]
    assert reply.thought == expected["thought"]
    assert len(reply.faults) == len(expected["faults"])
    for fault, part in zip(reply.faults, expected["faults"], strict=True):
        assert part in fault
    assert sorted(reply.flags) == sorted(expected["flags"])
    assert len({call["id"] for call in reply.calls}) == len(reply.calls)
    assert all(call["type"] == "tool_call" and call["id"] for call in reply.calls)


@pytest.mark.parametrize(
    ("finish", "expected"), [("length", []), ("tool_calls", [("zoom", {"image": "part", "box": [5]})])]
)
def test_a_streamed_call_that_was_cut_off_is_not_taken_as_langchain_completes_it(
    finish: str, expected: list[tuple[str, Arguments]]
) -> None:
    piece = {"name": "zoom", "args": '{"image": "part", "box": [5', "id": "c1", "index": 0, "type": "tool_call_chunk"}
    ended = {"response_metadata": {"finish_reason": finish}, "chunk_position": "last"}
    streamed = AIMessageChunk("", tool_call_chunks=[piece]) + AIMessageChunk("", **ended)
    reply = read_reply(message_chunk_to_message(streamed), NAMES)
    assert plain(reply) == expected
    assert reply.faults == (() if expected else (CUT_OFF,))


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(
    lambda text: text.strip()[:1] not in ("[", "{") and text not in ("bbox", "bbox_2d")
)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    scalars | words, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=8
)
arguments = st.dictionaries(words, values, max_size=4)


def shapes(call: Arguments) -> list[str]:
    """One call as models write it."""
    text = json.dumps(call)
    return [
        text,
        json.dumps(call, ensure_ascii=False, indent=2),
        f"```json\n{text}\n```",
        f"I look closer [E1].\n{text}\nThen I answer.",
        f"[{text}]",
        json.dumps(
            {"tool_calls": [{"type": "function", "function": {**call, "arguments": json.dumps(call["arguments"])}}]}
        ),
        json.dumps({"thought": "Closer.", **call}),
        json.dumps({"name": call["name"], "parameters": call["arguments"]}),
        json.dumps({"name": call["name"], "arguments": json.dumps(json.dumps(call["arguments"]))}),
        repr(call),
        f"<tool_call>\n{text}\n</tool_call>",
        f"<tool_call>{text}}}</tool_call>",
        f"Closer.<tool_call>\n{text}",
        f"Closer.\n{text}\n</tool_call>",
        f"<tool_call>\n{call!r}\n</tool_call>",
        f'<think>Or {{"name": "anomaly_map", "arguments": {{}}}}?</think>{text}',
        f"Or not?</think>\n<tool_call>\n{text}\n</tool_call>",
        f"<think>Closer.\n<tool_call>\n{text}\n</tool_call>",
    ]


@settings(deadline=None)
@given(st.sampled_from(NAMES), arguments)
def test_a_call_in_any_shape_reads_back_equal(name: str, args: Arguments) -> None:
    for text in shapes({"name": name, "arguments": args}):
        assert plain(read(text)) == [(name, args)], text


@settings(deadline=None)
@given(arguments, st.sampled_from(["", " ", "}", "\n</tool_call>", "\nNow I wait."]))
def test_native_arguments_read_back_equal_whatever_follows(args: Arguments, tail: str) -> None:
    for text in (json.dumps(args), json.dumps(json.dumps(args)), repr(args)):
        calls, invalid = native_calls([{"id": "c1", "function": {"name": "zoom", "arguments": text + tail}}])
        reply = read_reply(AIMessage("", tool_calls=calls, invalid_tool_calls=invalid), NAMES)
        assert plain(reply) == [("zoom", args)]
        assert reply.calls[0]["id"] == "c1"


PIECES = [
    *(
        "<tool_call>",
        "</tool_call>",
        "<think>",
        "</think>",
        "```json",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        '"',
        "'",
        "\\",
        "\n",
    ),
    *(
        '"name"',
        '"zoom"',
        '"arguments"',
        '"parameters"',
        '"verdict"',
        '"answer"',
        '"tool_calls"',
        '"function"',
        '"box"',
    ),
    *(
        "{}",
        "1",
        "1e999",
        "NaN",
        "None",
        "true",
        "-",
        "\ud83d",
        "划痕",
        '{"name": "zoom", "arguments": {',
        "b'x'",
        "(1,)",
    ),
]


@settings(deadline=None, max_examples=300)
@given(
    st.text() | st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
    st.text() | st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
    st.sampled_from(["stop", "length", "time", "tool_calls", None]),
)
@example("", "\ud800", None)
@example("", "NaN", "stop")
@example("<tool_call>{'name': {1, 2}, 'arguments': {3}}</tool_call>", "", "stop")
@example("{'name': 'zoom', 'arguments': {1: b'x', ('a',): 2j}}", "", "stop")
def test_any_text_is_read_into_something_that_can_be_stored(content: str, reasoning: str, finish: str | None) -> None:
    native = [{"id": "c1", "function": {"name": "zoom", "arguments": reasoning}}]
    for wire_calls in ([], native):
        calls, invalid = native_calls(wire_calls)
        extra = {"reasoning_content": reasoning}
        made = AIMessage(content, additional_kwargs=extra, tool_calls=calls, invalid_tool_calls=invalid)
        made.response_metadata = {"finish_reason": finish}
        reply = read_reply(made, NAMES)
        assert all(isinstance(call["args"], dict) for call in reply.calls)
        stored = json.dumps(
            [reply.thought, reply.calls, reply.faults, reply.flags], ensure_ascii=False, allow_nan=False
        )
        assert stored.encode("utf-8")


MEGABYTE = 1_000_000
Z = '{"name": "zoom", "arguments": {"image": "part", "box": [1, 2, 3, 4]}}'
LONG = {
    "words": "looks fine " * 90_000,
    "lists": "[" * MEGABYTE,
    "objects": '{"a":' * 200_000,
    "objects in lists": '[{"a":' * 170_000,
    "spaced lists": ('[{"a": ' + "1," * 500) * 900,
    "blocks": "<tool_call>" * 90_000,
    "block starts": '<tool_call>{"name": "' * 50_000,
    "quotes": '{"' * 500_000,
    "escapes": '{"' + '\\"' * 500_000,
    "apostrophes": "{'a': '" * 140_000,
    "minus": "{'a': " + "-" * MEGABYTE,
    "closed minus": "{'a': " + "-" * 15_000 + "1}",
    "brackets that close": "{'a': " + "[" * 9_000 + "]" * 9_000 + "}",
    "sums": "{'a': " + "1+" * 9_000 + "1}",
    "fences": "```json\n" * 120_000,
    "braces": "{ " * 500_000,
    "blank lines": "x" + "\n \t" * 300_000,
    "thinking": "<think>" * 140_000,
    "digits": '{"name": "zoom", "arguments": {"box": ' + "9" * MEGABYTE + "}}",
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG.keys())
def test_a_megabyte_of_anything_is_read_in_time(text: str) -> None:
    started = time.process_time()
    assert read(text).calls == ()
    assert read_reply(AIMessage("", additional_kwargs={"reasoning_content": text}), NAMES).calls == ()
    calls, invalid = native_calls([{"id": "c1", "function": {"name": "zoom", "arguments": text}}])
    assert len(read_reply(AIMessage("", tool_calls=calls, invalid_tool_calls=invalid), NAMES).faults) == 1
    assert time.process_time() - started < SECONDS
    assert plain(read(f"{text}</think>{Z}")) == [("zoom", {"image": "part", "box": [1, 2, 3, 4]})]


@pytest.mark.parametrize("depth", [18, 60, 900, 40_000])
def test_a_nesting_bomb_is_a_fault_and_not_a_crash(depth: int) -> None:
    bomb = f'{{"name": "zoom", "arguments": {{"box": {"[" * depth}{"]" * depth}}}}}'
    for text in (bomb, f"<tool_call>{bomb}</tool_call>", bomb.replace('"', "'")):
        reply = read(text)
        assert bool(reply.calls) == (depth < 20)
        assert bool(reply.faults) == (depth >= 20)
    assert any("nested too deeply" in fault for fault in read(f"<tool_call>{bomb}</tool_call>").faults) == (depth >= 20)
