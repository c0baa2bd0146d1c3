"""The server planner: what it sends to a server and reads from it, at once or streamed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage

from agent.planners import PlannerError
from agent.planners.server import ServerPlanner, make_server_planner
from agent.planners.server_errors import BadReplyError
from agent.wire.dialect import Call
from tests.agent.planners.asking import KEY, PICTURE, QUESTION, SUBMIT, TOOLS, ZOOM, ask, planner_at, shown, sum_of
from tests.agent.planners.chat_server import Answer, ChatServer, Reply, call, completion, refusing, step


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


SAMPLING = {"model": "tiny", "stream": False, "max_tokens": 77, "seed": 3, "temperature": 0.25}
SENT_QUESTION = [
    {"role": "system", "content": "You inspect."},
    {"role": "user", "content": "Is it defective?"},
]


def action(offered: Call) -> dict[str, Any]:
    properties = {
        "thought": {"type": "string", "maxLength": 400},
        "name": {"const": offered["name"]},
        "arguments": offered["arguments"],
    }
    required = ["thought", "name", "arguments"]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


@pytest.mark.parametrize(
    ("calls", "schema"), [([ZOOM, SUBMIT], {"anyOf": [action(ZOOM), action(SUBMIT)]}), ([SUBMIT], action(SUBMIT))]
)
def test_the_json_protocol_sends_a_schema_and_no_tools(
    calls: list[Call], schema: dict[str, Any], server: ChatServer
) -> None:
    server.replies.append(step("submit"))
    planner = planner_at(server, temperature=0.25, max_tokens=77, seed=3)
    ask(planner, calls=calls)
    form = {"type": "json_schema", "json_schema": {"name": "next_step", "schema": schema}}
    assert server.asked == [{**SAMPLING, "messages": SENT_QUESTION, "response_format": form}]


@pytest.mark.parametrize(
    ("calls", "choice"),
    [
        (None, "auto"),
        ([ZOOM, SUBMIT], "auto"),
        ([SUBMIT], {"type": "function", "function": {"name": "submit"}}),
    ],
)
def test_the_tools_protocol_sends_all_tools_and_forces_the_only_call(
    calls: list[Call] | None, choice: Any, server: ChatServer
) -> None:
    server.replies.append(call("submit", verdict="normal"))
    ask(planner_at(server, "tools", temperature=0.25, max_tokens=77, seed=3), calls=calls)
    (sent,) = server.asked
    tools = sent.pop("tools")
    assert [one["function"]["name"] for one in tools] == ["zoom", "submit"]
    assert sent == {**SAMPLING, "messages": SENT_QUESTION, "tool_choice": choice}


def test_past_calls_and_pictures_travel_as_openai_writes_them(server: ChatServer) -> None:
    server.replies.append("done")
    called = AIMessage("Closer.", tool_calls=[{"name": "zoom", "args": {"image": "part"}, "id": "c1"}])
    ask(planner_at(server, "tools"), [called, ToolMessage("E1", tool_call_id="c1"), *shown(1)])
    assert server.asked[0]["messages"] == [
        {
            "role": "assistant",
            "content": "Closer.",
            "tool_calls": [
                {"type": "function", "id": "c1", "function": {"name": "zoom", "arguments": '{"image": "part"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "E1"},
        {"role": "user", "content": [{"type": "text", "text": "Look."}, PICTURE]},
    ]


def test_a_reply_carries_usage_and_the_reason_of_its_end(server: ChatServer) -> None:
    server.replies.append({"content": "half a rep", "finish_reason": "length"})
    reply = ask(planner_at(server), calls=[SUBMIT])
    assert reply.content == "half a rep"
    assert reply.response_metadata["finish_reason"] == "length"
    assert reply.usage_metadata is not None
    assert (reply.usage_metadata["input_tokens"], reply.usage_metadata["output_tokens"]) == (20, 5)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("streamed", [False, True])
def test_reasoning_is_kept_under_one_name(name: str, streamed: bool, server: ChatServer) -> None:
    server.replies.append({"content": None, name: "the edge is torn"})
    bound = planner_at(server).bind_tools(TOOLS)
    reply = sum_of(bound.stream(QUESTION)) if streamed else bound.invoke(QUESTION)
    assert reply.content.strip() == ""
    assert reply.additional_kwargs["reasoning_content"].strip() == "the edge is torn"


def native(arguments: Any, **more: Any) -> dict[str, Any]:
    function = {"name": "zoom", "arguments": arguments}
    return {"content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function, **more}]}


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        (native('{"image": "part"}'), {"image": "part"}),
        (native({"image": "part"}), {"image": "part"}),
        (native(""), {}),
        (native(None), {}),
    ],
)
def test_native_calls_are_read(message: dict[str, Any], arguments: dict[str, Any], server: ChatServer) -> None:
    server.replies.append(message)
    (called,) = ask(planner_at(server, "tools")).tool_calls
    assert (called["name"], called["args"]) == ("zoom", arguments)


def test_a_native_call_with_broken_json_is_handed_on_as_invalid(server: ChatServer) -> None:
    server.replies.append(native('{"image": "pa'))
    reply = ask(planner_at(server, "tools"))
    assert not reply.tool_calls
    assert reply.invalid_tool_calls[0]["args"] == '{"image": "pa'


def test_text_in_parts_is_joined(server: ChatServer) -> None:
    server.replies.append({"content": [{"type": "thinking"}, {"type": "text", "text": "no "}, {"text": "scratch"}]})
    assert ask(planner_at(server)).content == "no scratch"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ({"choices": []}, "holds no message"),
        ({"choices": None}, "holds no message"),
        ({"choices": [{"message": None}]}, "holds no message"),
        ({"error": {"message": "out of memory"}}, "out of memory"),
        ({"error": "out of memory", "choices": []}, "out of memory"),
        (Answer({"object": "error", "message": "engine dead"}), "engine dead"),
        (Answer("<html>Welcome</html>"), "not JSON: a web page: Welcome"),
        (Answer('{"choices": [', headers={"content-type": "application/json"}), "Expecting value"),
        (Answer("[1]", headers={"content-type": "application/json"}), "not JSON"),
        (Answer(""), "not JSON: nothing"),
    ],
)
def test_an_answer_without_a_reply_is_an_error_and_never_a_silent_normal(
    reply: Reply, said: str, server: ChatServer
) -> None:
    server.replies.append(reply)
    with pytest.raises(PlannerError, match=rf"answers without a reply \(.*{said}"):
        ask(planner_at(server))
    assert len(server.asked) == 1


NAMES = st.sampled_from(["content", "tool_calls", "function", "name", "arguments", "id", "reasoning", "text", "index"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(message=st.dictionaries(NAMES, JSON, max_size=6), usage=JSON, reason=JSON)
def test_any_message_is_read_or_refused(message: dict[str, Any], usage: Any, reason: Any) -> None:
    answer = {"choices": [{"message": message, "delta": message, "finish_reason": reason}], "usage": usage}
    with suppress(BadReplyError):
        UNCONNECTED._create_chat_result(answer)
        UNCONNECTED._convert_chunk_to_generation_chunk(answer, AIMessageChunk, None)


with ChatServer() as _server:
    UNCONNECTED = make_server_planner(_server.address)


def test_a_stream_gives_the_same_reply_word_by_word(server: ChatServer) -> None:
    server.then = {**call("zoom", image="part"), "content": "I look closer now"}
    bound = planner_at(server, "tools").bind_tools(TOOLS)
    chunks = list(bound.stream(QUESTION))
    whole, streamed = bound.invoke(QUESTION), sum_of(iter(chunks))
    assert len([chunk for chunk in chunks if chunk.content]) == 4
    assert streamed.content.strip() == whole.content
    assert streamed.tool_calls == whole.tool_calls
    assert streamed.usage_metadata == whole.usage_metadata
    assert streamed.response_metadata["finish_reason"] == whole.response_metadata["finish_reason"]
    assert server.asked[0]["stream_options"] == {"include_usage": True}


def test_a_stream_adapts_and_retries_before_its_first_word(server: ChatServer) -> None:
    server.replies += [
        refusing(503, "loading", retry_after="0.01"),
        refusing(400, "Unknown parameter: 'stream_options'"),
        step("submit"),
    ]
    planner = planner_at(server)
    reply = sum_of(planner.bind_tools(TOOLS, calls=[SUBMIT]).stream(QUESTION))
    assert json.loads(reply.content)["name"] == "submit"
    assert "response_format" in server.asked[2]
    assert "stream_options" not in server.asked[2]


WORD = 'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n'
EVENTS = {"content-type": "text/event-stream"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(WORD * 9, headers=EVENTS, drop="within"), "broke off its answer"),
        (Answer(WORD + "data: [DONE]\n\n", headers=EVENTS), "ended before the reply did"),
        (Answer("data: [DONE]\n\n", headers=EVENTS), "an empty stream"),
        (Answer(WORD + 'data: {"error": {"message": "engine dead"}}\n\n', headers=EVENTS), "engine dead"),
        (Answer('data: {"error": {"message": "engine dead"}}\n\n', headers=EVENTS), "engine dead"),
        (Answer("data: hello\n\n", headers=EVENTS), "Expecting value"),
        (Answer("data: [1]\n\n", headers=EVENTS), "not JSON"),
        (Answer(completion("whole", {})), "an empty stream"),
        (Answer("<html></html>"), "an empty stream"),
    ],
)
def test_a_broken_stream_is_an_error(answer: Answer, said: str, server: ChatServer) -> None:
    server.then = answer
    with pytest.raises(PlannerError, match=said):
        list(planner_at(server, retries=0).bind_tools(TOOLS).stream(QUESTION))


async def _asked_asynchronously(planner: ServerPlanner) -> AIMessage:
    return await planner.bind_tools(TOOLS, calls=[SUBMIT], seconds=5).ainvoke(QUESTION)


def test_asked_asynchronously_it_sends_the_same(server: ChatServer) -> None:
    server.then = step("submit")
    planner = planner_at(server, api_key=KEY)
    asyncio.run(_asked_asynchronously(planner))
    ask(planner, calls=[SUBMIT])
    first, second = server.requests[-2:]
    assert (first.body, first.headers) == (second.body, second.headers)
