"""Choosing a planner: every mistake is one line that says what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.planners import PlannerError, make_planner
from agent.planners.server import ServerPlanner
from agent.wire.dialect import GENERIC, QWEN3_VL, QWEN25_VL, dialect_of
from tests.agent.planners.chat_server import ChatServer


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
        found = make_planner(f"openai:{server.address}#Qwen2.5-VL-7B", most_pixels=100_000)
        named = make_planner(f"openai:{server.address}#inspector", dialect="qwen3-vl")
        unknown = make_planner(f"openai:{server.address}#inspector")
        with pytest.raises(PlannerError, match=r"the dialects are: qwen2-vl, qwen2\.5-vl, qwen3-vl, generic"):
            make_planner(f"openai:{server.address}#inspector", dialect="llava")
    assert isinstance(found, ServerPlanner)
    assert isinstance(named, ServerPlanner)
    assert isinstance(unknown, ServerPlanner)
    assert (found.dialect.boxes, found.dialect.most_pixels) == ("pixels", 100_000)
    assert (named.dialect.name, unknown.dialect.name) == ("qwen3-vl", "generic")


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
