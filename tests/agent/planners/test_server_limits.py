"""Busy, failing, slow and dead servers: no turn outlasts its time; and the key stays where it belongs."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from langchain_core.load import dumps

from agent.planners import PlannerError
from agent.planners.server import CONNECT_SECONDS
from tests.agent.planners.asking import KEY, QUESTION, TOOLS, ask, planner_at, sum_of
from tests.agent.planners.chat_server import Answer, ChatServer, completion, refusing


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


@pytest.mark.parametrize("status", [429, 500, 502, 503, 529])
def test_a_passing_failure_is_tried_again(status: int, server: ChatServer) -> None:
    server.replies += [refusing(status, "busy", retry_after="0.01")] * 2 + ["at last"]
    assert ask(planner_at(server)).content == "at last"
    assert len(server.asked) == 3


def test_tries_are_bounded_and_the_last_answer_is_named(server: ChatServer) -> None:
    server.then = refusing(500, "CUDA out of memory", retry_after="0.01")
    with pytest.raises(PlannerError, match=r"answers 500 after 3 tries \(CUDA out of memory\): look at"):
        ask(planner_at(server, retries=2))
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refusing(400, "roles must alternate"), r"answers 400 \(roles must alternate\)"),
        (refusing(401, "no"), "wants a key"),
        (refusing(404, "The model `tiny` does not exist."), "does not know the model 'tiny' or the path"),
        (
            Answer("<html>413 Request Entity Too Large</html>", 413),
            "so large a request .*fewer references",
        ),
        (refusing(429, "insufficient_quota: pay"), "a quota is used up"),
        (refusing(503, "wait", retry_after="3600"), "answers 503"),
        (Answer("", 308, {"location": "https://elsewhere"}), "answers 308"),
    ],
)
def test_a_lasting_failure_is_not_tried_again(answer: Answer, said: str, server: ChatServer) -> None:
    server.replies.append(answer)
    with pytest.raises(PlannerError, match=said) as failed:
        ask(planner_at(server))
    assert len(server.asked) == 1
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("where", ["before", "within"])
def test_a_dropped_connection_is_tried_again(where: str, server: ChatServer) -> None:
    server.replies += [Answer({"choices": []}, drop=where), "here again"]
    assert ask(planner_at(server)).content == "here again"


def test_a_server_that_always_drops_the_connection_is_given_up(server: ChatServer) -> None:
    server.then = Answer(drop="before")
    with pytest.raises(PlannerError, match="broke off its answer after 2 tries"):
        ask(planner_at(server, retries=1))


def test_a_server_that_died_since_is_named() -> None:
    with ChatServer() as server:
        planner = planner_at(server, retries=1)
    with pytest.raises(PlannerError, match=r"no server answers at .*start it"):
        ask(planner)


WHOLE = completion("x" * 50, {})
SLOW = {
    "silent": Answer(WHOLE, slow=5),
    "dripping": Answer(WHOLE, drip=0.05),
    "dripping headers": Answer(WHOLE, drip=0.05, drip_headers=True),
    "dripping events": Answer("data: {}\n\n" * 90, drip=0.02, headers={"content-type": "text/event-stream"}),
    "dripping comments": Answer(": wait\n\n" * 90, drip=0.02, headers={"content-type": "text/event-stream"}),
    "a byte now and then": Answer(WHOLE, drip=0.35),
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", SLOW)
def test_no_slow_server_outlasts_the_seconds_of_a_turn(kind: str, streamed: bool, server: ChatServer) -> None:
    server.then = SLOW[kind]
    bound = planner_at(server).bind_tools(TOOLS, seconds=0.5)
    started = time.monotonic()
    with pytest.raises(PlannerError, match=r"gave no whole answer in 0\.[45]\d* s: raise --seconds, or"):
        list(bound.stream(QUESTION)) if streamed else bound.invoke(QUESTION)
    assert 0.4 < time.monotonic() - started < 1.5
    assert len(server.asked) == 1


def test_the_time_limit_of_one_answer_holds_without_seconds_of_a_turn(server: ChatServer) -> None:
    server.then = SLOW["dripping"]
    with pytest.raises(PlannerError, match=r"gave no whole answer in 0\.4 s: raise timeout, or"):
        ask(planner_at(server, timeout=0.4), seconds=None)


def test_a_planner_without_a_limit_of_its_own_waits_as_long_as_the_inspection_lasts(server: ChatServer) -> None:
    server.replies += ["no hurry", "none at all"]
    planner = planner_at(server)
    waits: list[httpx2.Timeout] = []
    create = planner.client.create

    def noted(**asked: Any) -> Any:
        waits.append(asked["timeout"])
        return create(**asked)

    planner.client = SimpleNamespace(create=noted)
    assert ask(planner, seconds=700).content == "no hurry"
    assert ask(planner, seconds=None).content == "none at all"
    assert waits[0].read == pytest.approx(700, abs=1)
    assert waits[1].read is None
    assert {wait.connect for wait in waits} == {CONNECT_SECONDS}


def test_pauses_between_tries_count_as_time_of_the_turn(server: ChatServer) -> None:
    server.then = refusing(503, "loading", retry_after="0.4")
    started = time.monotonic()
    with pytest.raises(PlannerError, match="answers 503 after 2 tries"):
        ask(planner_at(server, retries=50), seconds=0.7)
    assert time.monotonic() - started < 1.5


def test_a_turn_without_time_left_asks_nothing(server: ChatServer) -> None:
    with pytest.raises(PlannerError, match="gave no whole answer"):
        ask(planner_at(server), seconds=-1)
    assert server.asked == []


def test_the_key_is_sent_and_appears_nowhere_else(server: ChatServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.replies += ["hello", refusing(400, f"you sent Bearer {KEY}"), refusing(400, f"{KEY}: unknown seed")]
    planner = planner_at(server, api_key=f" {KEY}\n")
    ask(planner)
    said = []
    for _ in range(2):
        with pytest.raises(PlannerError) as failed:
            ask(planner)
        said.append(str(failed.value))
        assert failed.value.__cause__ is failed.value.__context__ is None
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}
    for text in (*said, repr(planner), str(planner), dumps(planner), json.dumps(planner.settings), caplog.text):
        assert KEY not in text
    assert planner.adaptations[0].startswith("the server takes no seed (***")


def test_a_foreign_server_gets_nothing_from_the_environment(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "ORGANIZATION", "PROJECT_ID"):
        monkeypatch.setenv(f"OPENAI_{name}", KEY)
    for name in ("OPENAI_API_BASE", "OPENAI_BASE_URL", "OPENAI_PROXY", "HTTP_PROXY", "ALL_PROXY", "LANGSMITH_GATEWAY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/elsewhere")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"x-secret: {KEY}")
    monkeypatch.setenv("LC_OUTPUT_VERSION", "v1")
    server.replies += ["hello", "hello"]
    planner = planner_at(server)
    assert ask(planner).content == "hello"
    assert sum_of(planner.stream(QUESTION)).content.strip() == "hello"
    assert len(server.requests) == 3
    for request in server.requests:
        assert KEY not in str(request)
        assert "authorization" not in request.headers
        assert not [name for name in request.headers if name.startswith(("openai", "x-"))]


def test_settings_say_what_shapes_the_reply(server: ChatServer) -> None:
    described = json.loads(json.dumps(planner_at(server, temperature=0.5, max_tokens=9, seed=4, timeout=7).settings))
    assert described["dialect"]["protocol"] == "json"
    expected = {"url": server.address, "model": "tiny", "temperature": 0.5, "max_tokens": 9, "seed": 4, "timeout": 7}
    assert expected.items() <= described.items()
