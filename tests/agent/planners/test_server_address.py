"""Finding the server and its model, and saying what is wrong with an address."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from agent.planners import PlannerError, server_address
from agent.planners.server import make_server_planner
from agent.wire.dialect import QWEN25_VL
from tests.agent.planners.asking import KEY, ask
from tests.agent.planners.chat_server import Answer, ChatServer, refusing


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


def test_the_only_model_served_is_taken_and_its_family_known() -> None:
    with ChatServer(models=["Qwen/Qwen2.5-VL-7B-Instruct"]) as server:
        planner = make_server_planner(server.address)
    assert planner.model_name == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert planner.dialect == replace(QWEN25_VL, protocol="json")


@pytest.mark.parametrize(
    ("served", "named", "taken"),
    [
        (["a", "b"], "b", "b"),
        (["qwen2.5vl:latest", "llava:latest"], "qwen2.5vl", "qwen2.5vl:latest"),
        (["Qwen/A", "Qwen/B"], "B", "Qwen/B"),
    ],
)
def test_a_model_is_found_by_the_name_that_people_use(served: list[str], named: str, taken: str) -> None:
    with ChatServer(models=served) as server:
        assert make_server_planner(f"{server.address}#{named}").model_name == taken


def test_an_address_without_v1_is_completed(server: ChatServer) -> None:
    planner = make_server_planner(f"{server.host}/#tiny")
    assert planner.settings["url"] == server.address


def test_a_server_without_a_list_of_models_is_taken_at_its_word() -> None:
    with ChatServer("fine", models=refusing(404, "Not Found")) as server:
        planner = make_server_planner(f"{server.address}#unlisted")
        assert ask(planner).content == "fine"
        assert server.asked[0]["model"] == "unlisted"


@pytest.mark.parametrize(
    ("models", "fragment", "said"),
    [
        (["a", "b"], "", r"serves 2 models: write one of those that it serves after the #: a, b$"),
        (["a/one", "b"], "#on", r"does not serve 'on': .* a/one, b$"),
        ([f"m{n}" for n in range(40)], "#m7x", r"does not serve 'm7x': .*m7.* and 35 more$"),
        ([], "", r"serves 0 models.*: none$"),
        (refusing(401, "bad"), "#m", r"wants a key \(401\): set FLAWLENS_API_KEY$"),
        (refusing(403, "bad"), "#m", r"wants a key \(403\)"),
        (refusing(404, "Not Found"), "", r"has no list of models .*URL/v1#MODEL$"),
        (Answer("<!DOCTYPE html><title>Shop</title>"), "#m", r"no JSON but 'a web page: Shop'\): is it a model server"),
        (Answer("\x00\xff"), "#m", r"no JSON"),
        (Answer("[" * 100_000), "#m", r"no JSON"),
        (Answer({"hello": 1}), "#m", r"its answer has none"),
        (Answer("", 307, {"location": "https://elsewhere/v1/models"}), "#m", r"sends us to https://elsewhere"),
        (refusing(500, "boom"), "#m", r"it answers 500: .*boom"),
        (Answer(drop="before"), "#m", r"no server answers at .*: start it"),
    ],
)
def test_what_is_wrong_with_the_server_is_said_in_one_line(models: Any, fragment: str, said: str) -> None:
    with ChatServer(models=models) as server, pytest.raises(PlannerError, match=said) as failed:
        make_server_planner(server.address + fragment)
    assert "\n" not in str(failed.value)


def test_a_refused_key_is_named_as_refused() -> None:
    with ChatServer(models=refusing(401, f"wrong {KEY}")) as server, pytest.raises(PlannerError) as failed:
        make_server_planner(server.address, api_key=KEY)
    assert "refuses the key (401): set FLAWLENS_API_KEY" in str(failed.value)
    assert KEY not in str(failed.value)


def test_nobody_at_the_address_is_said_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(PlannerError, match=rf"no server answers at http://127.0.0.1:{port}/v1 .*vllm serve MODEL"):
        make_server_planner(f"http://127.0.0.1:{port}/v1#m")


@pytest.mark.parametrize("listed", [Answer({"data": []}, slow=3.0), Answer({"data": [{"id": "m"}]}, drip=0.1)])
def test_a_server_too_slow_to_list_its_models_is_not_waited_for(
    listed: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_address, "CHECK_SECONDS", 0.3)
    started = time.monotonic()
    with ChatServer(models=listed) as server, pytest.raises(PlannerError, match="no server answers"):
        make_server_planner(server.address)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "address", ["", "localhost:8000/v1", "ftp://host/v1", "http://", "http://h:99999/v1", "http://["]
)
def test_an_address_that_is_no_url_is_explained(address: str) -> None:
    with pytest.raises(PlannerError, match=r"write it as http://HOST:PORT/v1#MODEL"):
        make_server_planner(address)


@pytest.mark.parametrize("address", [f"http://me:{KEY}@host/v1#m", f"https://host/v1?key={KEY}#m"])
def test_an_address_with_a_secret_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(PlannerError, match="FLAWLENS_API_KEY") as failed:
        make_server_planner(address)
    assert KEY not in str(failed.value)


@pytest.mark.parametrize("key", ["schlüssel", "two\nlines"])
def test_a_key_that_no_header_can_hold_is_explained(key: str, server: ChatServer) -> None:
    with pytest.raises(PlannerError, match="set FLAWLENS_API_KEY again"):
        make_server_planner(server.address, api_key=key)
