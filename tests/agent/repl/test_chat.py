"""A whole conversation in a pseudo-terminal: what a person types and what stands on the screen."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.repl.terminal import Terminal


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def chat(home: Path, doubtful: Path) -> Iterator[Terminal]:
    opened = Terminal(
        *("chat", str(doubtful / "part.png"), "-r", str(doubtful / "good.png")),
        *("--product", "bracket", "--home", str(home)),
    )
    opened.wait_for("Enter inspects it")
    yield opened
    opened.program.close(force=True)


def test_a_conversation_from_question_to_question(chat: Terminal, home: Path) -> None:
    assert "part.png" in chat.screen
    assert "▀" in chat.screen  # the picture, in blocks

    chat.type("Is the surface in order?")
    chat.wait_for("The agent asks")
    chat.wait_for("answer ›")
    assert "a defect? Answer yes, no" in " ".join(chat.screen.split())

    chat.kill()  # while it waits for the operator
    run_id = next((home / "runs").iterdir()).name
    back = Terminal("chat", "--resume", run_id, "--home", str(home))
    back.wait_for("/continue goes on with it")
    back.type("/continue")
    back.wait_for("answer ›")
    back.type("yes, a deep scratch")
    back.wait_for("flawlens runs html")
    assert "E5" in back.screen

    back.type("/why")
    back.wait_for("defective:")

    back.type("只看右下角")
    back.wait_for("rests on E")
    assert "crop_2 shows box [500, 500, 1000, 1000] of part" in " ".join(back.screen.split())

    back.type("/zoom 0 0 300 300")
    back.wait_for("pictures/crop_4")
    back.type("/zoom here")
    back.wait_for("say where: /zoom")
    back.type("/undo")
    back.wait_for("taken back")
    back.type("/undo")
    back.wait_for("taken back")
    back.type("/undo")
    back.wait_for("nothing to take back")

    back.type("/why E99")
    back.wait_for("there is no evidence E99")
    back.type("/why E1")
    back.wait_for("cited by")

    back.type("/feedback defective scratch seen by eye")
    back.wait_for("kept")
    back.type("/save")
    back.wait_for("run.html")
    assert f"flawlens chat --resume {run_id}" in back.leave()
    shown = subprocess.run(
        [sys.executable, "-m", "agent", "runs", "show", run_id, "--home", str(home)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "finished" in shown.stdout


def test_ctrl_c_stops_the_turn_and_not_the_session(chat: Terminal) -> None:
    chat.type("")
    chat.wait_for("surveying the part")
    chat.interrupt()
    chat.wait_for("Stopped.")
    chat.type("is it good?")
    chat.wait_for("the inspection has not ended")
    chat.type("/continue")
    chat.wait_for("answer ›")
    chat.type("no, harmless")
    chat.wait_for("flawlens runs html")
    assert "resume" in chat.leave()


def test_commands_and_paths_are_completed_and_mistakes_are_one_line(chat: Terminal, doubtful: Path) -> None:
    chat.settle()
    chat.program.send("/eviden\t")
    chat.wait_for("/evidence")
    chat.type("")
    chat.wait_for("the part is not inspected yet")
    chat.type("/image /nowhere/part.png")
    chat.wait_for("/nowhere/part.png")
    assert "Traceback" not in chat.screen
    chat.type("/planner nobody")
    chat.wait_for("there is no planner 'nobody'")
    chat.settle()
    chat.window.reset()
    chat.program.send(f"/image {doubtful}/go\t")
    chat.wait_for("good.png")
    chat.type("")
    chat.wait_for("Enter inspects it")
    chat.type('/product "unclosed')
    chat.wait_for("cannot be read")
    chat.type("/help")
    chat.wait_for("take the last turn back")


def test_without_a_terminal_it_says_what_to_use(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent", "chat", "--home", str(home)],
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("flawlens: chat needs a terminal")
