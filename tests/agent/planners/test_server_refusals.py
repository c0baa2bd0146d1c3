"""What servers refuse, in their own words, and what the planner does instead."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agent.planners import AskAgain, PlannerError
from tests.agent.planners.asking import SUBMIT, ZOOM, ask, planner_at, shown
from tests.agent.planners.chat_server import Answer, ChatServer, call, refusing


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


ONE_PICTURE = [
    (400, "At most 1 image(s) may be provided in one request."),
    (400, "At most 2 image(s) may be provided in one prompt."),
    (
        400,
        "You set image=1 (or defaulted to 1) in `--limit-mm-per-prompt`, but passed 3 image items in the same prompt.",
    ),
    (422, "This model supports only one image per request"),
]
NO_PICTURES = [
    (400, "At most 0 image(s) may be provided in one prompt."),
    (500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"),
    (500, "image input is not supported by this server"),
    (500, "this model is missing data required for image input"),
    (400, "Qwen2.5-7B-Instruct is not a multimodal model"),
    (400, "messages[1]: unknown variant `image_url`, expected `text` at line 1"),
    (400, "Invalid content type. image_url is only supported by certain models."),
    (500, 'Failed to parse messages: Unsupported content part type: "image_url"'),
    (404, "No endpoints found that support image input"),
    (400, "This model does not support images"),
]


@pytest.mark.parametrize(("status", "text"), ONE_PICTURE)
def test_a_server_that_takes_one_picture_is_asked_again_with_one(status: int, text: str, server: ChatServer) -> None:
    server.replies += [refusing(status, text), "seen"]
    planner = planner_at(server)
    with pytest.raises(AskAgain):
        ask(planner, shown(3))
    assert planner.dialect.most_pictures == 1
    assert planner.adaptations == [f"the server takes one picture ({text}): all are put on one canvas"]
    assert ask(planner, shown(1)).content == "seen"


@pytest.mark.parametrize(("status", "text"), NO_PICTURES)
def test_a_server_that_takes_no_picture_is_asked_again_without(status: int, text: str, server: ChatServer) -> None:
    server.replies += [refusing(status, text), "read"]
    planner = planner_at(server)
    with pytest.raises(AskAgain, match="takes no pictures"):
        ask(planner, shown(2))
    assert planner.dialect.most_pictures == 0
    assert ask(planner).content == "read"
    assert planner.settings["adaptations"] == planner.adaptations != []


def test_a_server_that_refuses_even_one_picture_gets_none(server: ChatServer) -> None:
    server.replies.append(refusing(400, "Multiple images are not supported"))
    planner = planner_at(server)
    with pytest.raises(AskAgain):
        ask(planner, shown(1))
    assert planner.dialect.most_pictures == 0


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "This response_format type is unavailable now"),
        (400, "The provided JSON schema contains features not supported by xgrammar."),
        (400, "Failed to initialize samplers: failed to parse grammar"),
        (500, "JSON schema conversion failed: Unrecognized schema"),
        (422, '[{"loc": ["body", "response_format"], "msg": "Extra inputs are not permitted"}]'),
        (400, "Bad Request"),
    ],
)
def test_a_server_without_response_format_is_asked_with_tools(status: int, text: str, server: ChatServer) -> None:
    server.replies += [refusing(status, text), call("zoom", image="part")]
    planner = planner_at(server)
    with pytest.raises(AskAgain, match="takes no response_format"):
        ask(planner, calls=[ZOOM, SUBMIT])
    assert planner.dialect.protocol == "tools"
    assert ask(planner, calls=[ZOOM, SUBMIT]).tool_calls[0]["name"] == "zoom"
    assert "response_format" not in server.asked[1]
    assert "tools" in server.asked[1]


def test_a_schema_refused_inside_an_answer_with_status_200_counts_as_refused(server: ChatServer) -> None:
    server.replies.append({"error": {"code": 400, "message": "Failed to compile json grammar: no field $defs"}})
    planner = planner_at(server)
    with pytest.raises(AskAgain):
        ask(planner, calls=[SUBMIT])


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
        (500, "tools param requires --jinja flag"),
        (400, "registry.ollama.ai/library/gemma3:4b does not support tools"),
        (404, "No endpoints found that support tool use"),
    ],
)
def test_a_server_without_tools_ends_with_what_to_do(status: int, text: str, server: ChatServer) -> None:
    server.replies += [refusing(400, "unknown field response_format"), refusing(status, text)]
    planner = planner_at(server)
    with pytest.raises(AskAgain):
        ask(planner, calls=[ZOOM, SUBMIT])
    with pytest.raises(PlannerError) as failed:
        ask(planner, calls=[ZOOM, SUBMIT])
    for part in (
        "takes no response_format (unknown",
        f"takes no tools ({text}",
        "--tool-call-parser hermes",
        "--jinja",
    ):
        assert part in str(failed.value)


@pytest.mark.parametrize(
    "text",
    [
        "Thinking mode does not support this tool_choice",
        'Value error, `tool_choice` must either be a named tool, "auto", or "none".',
        "tool_choice 'specified' is incompatible with thinking enabled",
    ],
)
def test_a_forced_call_that_is_refused_becomes_a_free_one(text: str, server: ChatServer) -> None:
    server.replies += [refusing(400, text), call("submit", verdict="normal"), call("submit", verdict="normal")]
    planner = planner_at(server, "tools")
    for _ in range(2):
        assert ask(planner, calls=[SUBMIT]).tool_calls
    assert [sent["tool_choice"] for sent in server.asked[1:]] == ["auto", "auto"]
    assert len(planner.adaptations) == 1


@pytest.mark.parametrize(
    ("text", "gone", "instead"),
    [
        ("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
         "max_tokens", {"max_completion_tokens": 2048}),
        ("Unsupported value: 'temperature' does not support 0.0 with this model.", "temperature", {}),
        ('{"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}',
         "seed", {}),
    ],
)  # fmt: skip
def test_a_setting_that_is_refused_is_left_out_from_then_on(
    text: str, gone: str, instead: dict[str, Any], server: ChatServer
) -> None:
    server.replies += [Answer(text, 400), "first", "second"]
    planner = planner_at(server)
    assert [ask(planner).content, ask(planner).content] == ["first", "second"]
    for sent in server.asked[1:]:
        assert gone not in sent
        assert instead.items() <= sent.items()
    assert len(planner.adaptations) == 1


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (max_tokens is 1024).",
        "The decoder prompt (length 9000) is longer than the maximum model length of 4096. Tokens of images count.",
        "the request exceeds the available context size, try increasing it",
        "The input (9000 tokens) is longer than the model's context length (4096 tokens).",
    ],
)
def test_a_request_that_is_too_long_names_the_remedy(text: str, server: ChatServer) -> None:
    server.replies.append(refusing(400, text))
    planner = planner_at(server)
    with pytest.raises(PlannerError, match=r"longer than tiny takes .*fewer references.*--max-model-len"):
        ask(planner, shown(2), calls=[SUBMIT])
    assert planner.adaptations == []


@pytest.mark.parametrize(
    ("status", "text"), [(400, "unsupported image format"), (400, "roles must alternate"), (403, "tools not supported")]
)
def test_other_refusals_change_nothing(status: int, text: str, server: ChatServer) -> None:
    server.replies.append(refusing(status, text))
    planner = planner_at(server, "tools")
    with pytest.raises(PlannerError):
        ask(planner, shown(2))
    assert planner.adaptations == []


def test_two_inspections_that_meet_the_same_refusal_adapt_once(server: ChatServer) -> None:
    server.replies += [refusing(400, "At most 1 image(s) may be provided in one prompt.", retry_after="0")] * 2
    planner = planner_at(server)

    def meet(_: int) -> type[Exception] | None:
        try:
            ask(planner, shown(3))
        except AskAgain as error:
            return type(error)
        return None

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(meet, range(2))) == [AskAgain, AskAgain]
    assert planner.dialect.most_pictures == 1
    assert len(planner.adaptations) == 1
