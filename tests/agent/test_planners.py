"""Choosing a planner: every mistake is one line that says what to do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.planners import PlannerError, bounded, longest_text, make_planner
from agent.planners.qwen_vl import QwenVL
from agent.planners.server import ServerPlanner
from agent.wire.dialect import DIALECTS, GENERIC, QWEN3_VL, QWEN25_VL, Dialect, dialect_of
from agent.wire.pictures import fitted
from tests.agent.planners.asking import KEY, SUBMIT, ask
from tests.agent.planners.chat_server import ChatServer, step
from tests.agent.planners.tiny_qwen import tiny_checkpoint

SUBMITTED = step(
    "submit_diagnosis", verdict="normal", probability=0.1, repair={"disposition": "accept"}, summary="As it should be."
)


@pytest.fixture(scope="module")
def tiny_qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny", "qwen2_5_vl")


def on_a_server(address: str, **options: Any) -> ServerPlanner:
    planner = make_planner(f"openai:{address}", **options)
    assert isinstance(planner, ServerPlanner)
    return planner


def in_process(folder: Path, **options: Any) -> QwenVL:
    planner = make_planner(f"qwen:{folder}", device="cpu", **options)
    assert isinstance(planner, QwenVL)
    return planner


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gpt", "the planners are: rules, qwen:MODEL, openai:URL#MODEL"),
        ("", "there is no planner ''"),
        ("qwen:/no/such/folder", "/no/such/folder"),
        ("openai:http://127.0.0.1:9/v1#m", "no server answers"),
        ("openai:ftp://x#m", "http"),
    ],
)
def test_a_planner_that_cannot_be_had_is_said_in_one_line(name: str, said: str) -> None:
    with pytest.raises(PlannerError, match=r"^[^\n]+$") as caught:
        make_planner(name)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "extra"), [("qwen:Qwen/Qwen2.5-VL-7B-Instruct", "qwen"), ("openai:http://127.0.0.1:9", "server")]
)
def test_a_missing_package_comes_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, name: str, extra: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(PlannerError, match=rf"pip install .*flawlens\[{extra}\]"):
        make_planner(name)


def test_the_dialect_comes_from_the_models_name_or_is_named() -> None:
    with ChatServer(models=["Qwen2.5-VL-7B", "inspector"]) as server:
        found = on_a_server(f"{server.address}#Qwen2.5-VL-7B", most_pixels=100_000)
        named = on_a_server(f"{server.address}#inspector", dialect="qwen3-vl")
        generic = on_a_server(f"{server.address}#inspector", dialect="generic")
        with pytest.raises(PlannerError, match=r"the dialects are: qwen2-vl, qwen2\.5-vl, qwen3-vl, generic"):
            make_planner(f"openai:{server.address}#inspector", dialect="llava")
    assert (found.dialect.boxes, found.dialect.most_pixels) == ("pixels", 100_000)
    assert (named.dialect.name, generic.dialect.name) == ("qwen3-vl", "generic")
    assert found.adaptations == named.adaptations == generic.adaptations == []


def test_a_model_that_is_left_out_is_spoken_to_as_the_server_names_it() -> None:
    with ChatServer(models=["Qwen/Qwen2.5-VL-7B-Instruct"]) as server:
        planner = on_a_server(server.address)
    assert (planner.dialect.name, planner.dialect.boxes, planner.dialect.protocol) == ("qwen2.5-vl", "pixels", "json")
    assert planner.adaptations == []


def test_the_address_of_a_server_tells_no_family_and_a_guess_is_said() -> None:
    with ChatServer(models=["inspector"]) as server:
        planner = on_a_server(f"{server.host}/qwen25vl/v1#inspector")
    assert (planner.dialect.name, planner.dialect.boxes) == ("generic", "thousand")
    (said,) = planner.adaptations
    assert "tells no family" in said
    assert "--dialect" in said


def test_a_dialect_for_a_model_in_this_process_is_refused_and_not_ignored(tiny_qwen: Path) -> None:
    with pytest.raises(PlannerError, match=r"^a qwen: model's family comes from its checkpoint: leave --dialect out"):
        in_process(tiny_qwen, dialect="qwen3-vl")


@pytest.mark.parametrize(("tokens", "longest"), [(64, 40), (640, 40), (2048, 128), (100_000, 400)])
def test_texts_are_as_long_as_a_reply_leaves_room_for(tokens: int, longest: int, tiny_qwen: Path) -> None:
    with ChatServer(models=["inspector"]) as server:
        remote = on_a_server(server.address, reply_tokens=tokens)
    local = in_process(tiny_qwen, reply_tokens=tokens)
    assert longest_text(tokens) == local.dialect.longest_text == remote.dialect.longest_text == longest
    assert local.max_new_tokens == remote.max_tokens == tokens
    assert local.thought_tokens == tokens // 8


def test_a_short_reply_is_asked_for_with_short_texts() -> None:
    with ChatServer(step("submit")) as server:
        ask(on_a_server(server.address, reply_tokens=320), calls=[SUBMIT])
        (sent,) = server.asked
    properties = sent["response_format"]["json_schema"]["schema"]["properties"]
    assert (sent["max_tokens"], properties["thought"]["maxLength"]) == (320, 120)


def test_smaller_pictures_lower_all_limits_of_a_server_and_of_a_model_here_alike(tiny_qwen: Path) -> None:
    with ChatServer(models=["qwen2.5vl"]) as server:
        remote = on_a_server(server.address, most_pixels=60_000).dialect
        default = on_a_server(server.address).dialect
    local = in_process(tiny_qwen, most_pixels=60_000).dialect
    for dialect in (remote, local):
        assert (dialect.least_pixels, dialect.most_pixels, dialect.request_pixels) == (30_000, 60_000, 480_000)
    assert bounded(default, default.most_pixels) == default


@pytest.mark.parametrize("most", [50_176, 60_000, 200_000])
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize(("height", "width"), [(3000, 4000), (4000, 3000), (1000, 1000), (1080, 1920)])
def test_small_pictures_keep_their_aspect(height: int, width: int, dialect: Dialect, most: int) -> None:
    told = bounded(dialect, most)
    high, wide = fitted(height, width, told.factor, told.least_pixels, told.most_pixels)
    assert 0.7 * most < high * wide <= most
    # a side is off by less than a step of the factor
    assert abs(high / wide / (height / width) - 1) < told.factor / min(high, wide)


def test_pictures_smaller_than_one_token_are_refused() -> None:
    with pytest.raises(PlannerError, match="raise --image-pixels"):
        bounded(QWEN3_VL, 32 * 32 - 1)


@pytest.mark.parametrize(
    ("model", "dialect"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", QWEN25_VL),
        ("qwen2.5vl:7b-q4_K_M", QWEN25_VL),
        ("/models/Qwen3-VL-8B-Instruct-FP8", QWEN3_VL),
        ("gpt-5", GENERIC),
    ],
)
def test_families_are_known_however_their_names_are_written(model: str, dialect: object) -> None:
    assert dialect_of(model) == dialect


def test_a_server_that_is_down_is_one_line_on_the_command_line(parts: Path, tmp_path: Path) -> None:
    command = ["-m", "agent", "inspect", parts / "good_1.png", "--planner", "openai:http://127.0.0.1:9#m"]
    done = subprocess.run(
        [sys.executable, *command, "--home", tmp_path], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no server answers" in done.stderr
    assert "Traceback" not in done.stderr


def typed(parts: Path, home: Path, *options: object, key: str = "") -> subprocess.CompletedProcess[str]:
    """`flawlens inspect` of a good part as its user types it."""
    command = [sys.executable, "-m", "agent", "inspect", parts / "good_1.png", "--home", home, *options]
    environment = {**os.environ, "FLAWLENS_API_KEY": key, "COLUMNS": "400"}
    return subprocess.run(
        [*map(str, command)], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_options_of_a_model_reach_its_server_from_the_command_line(parts: Path, tmp_path: Path) -> None:
    question = ["--question", "Is the finish good?", "--topic", "object"]
    with ChatServer(models=["inspector"], then=step("submit_answer", answer="Steel.", evidence=[])) as server:
        planner = ["--planner", f"openai:{server.address}", "--reply-tokens", 500, "--json"]
        done = typed(parts, tmp_path, *planner, *question, key=KEY)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["outcome"] == "answered"
    assert any("tells no family" in reason for reason in found["degraded"])
    assert {request["max_tokens"] for request in server.asked} == {500}
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}
    assert KEY not in done.stdout + done.stderr


def test_a_topic_of_defects_overrules_the_words_of_the_question(parts: Path, tmp_path: Path) -> None:
    question = ["--question", "What material is it?", "--topic", "defects"]
    with ChatServer(models=["inspector"], then=SUBMITTED) as server:
        done = typed(parts, tmp_path, "--planner", f"openai:{server.address}", "--json", "--audit", "off", *question)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcome"] == "submitted"


def test_help_names_every_dialect_and_no_option_takes_a_key(parts: Path, tmp_path: Path) -> None:
    said = typed(parts, tmp_path, "--help").stdout
    (line,) = re.findall(r"--dialect .*", said)
    assert all(name in line for name in DIALECTS)
    assert "FLAWLENS_API_KEY" in said
    assert "--api-key" not in said
    assert typed(parts, tmp_path, "--api-key", KEY).returncode == 2
