"""Every command of docs/ is run, in the order of its page; those of the README are at least understood."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from agent.__main__ import app
from agent.trace import list_runs
from tests.agent.planners.chat_server import ChatServer
from tests.agent.planners.tiny_qwen import tiny_checkpoint
from tests.agent.repl.terminal import Terminal

if TYPE_CHECKING:
    from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
SERVER = "http://127.0.0.1:8000/v1"
MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"
FOREIGN = ("pip install", "vllm serve")  # named to a reader, and not run by a test
LOCAL = ("/models/Qwen2.5-VL-7B-Instruct", "Qwen/Qwen2.5-VL-3B-Instruct")  # weights that a tiny model stands for


def blocks(page: Path) -> list[Token]:
    tokens = MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))
    return [token for token in tokens if token.type in ("code_block", "fence")]


def commands(text: str) -> Iterator[str]:
    yield from (
        line.removeprefix("$ ").split(" #")[0].strip() for line in text.splitlines() if line[:1] not in ("", " ")
    )


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with ChatServer(models=[MODEL], then="I cannot see anything in it.") as started:
        yield started


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"), "qwen2_5_vl")


class Walk:
    """Runs the commands of one page in a folder of its own, whose home holds only what the page has made."""

    def __init__(self, folder: Path, server: ChatServer, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.server, self.tiny = folder, server, tiny
        self.home = folder / "the home"
        monkeypatch.chdir(folder)
        monkeypatch.setenv("FLAWLENS_HOME", str(self.home))
        monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(self, line: str) -> None:
        if line.startswith(FOREIGN):
            check_foreign(line)
            return
        name, *arguments = shlex.split(self._meant(line))
        assert name == "flawlens", line
        if arguments[0] == "chat":
            self._chat(arguments)
        elif arguments[0] in ("view", "mcp"):
            self._serve(arguments)
        else:
            done = CliRunner().invoke(app, arguments, obj=None)
            assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"

    def write(self, block: Token) -> None:
        """A file that the page shows, or a program, which is run."""
        named = re.search(r"file=(\S+)", block.info)
        if named:
            path = self.folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.content, encoding="utf-8")
        elif block.info == "python run":
            subprocess.run([sys.executable, "-c", block.content], check=True, cwd=self.folder, timeout=200)

    def _meant(self, line: str) -> str:
        for weights in LOCAL:
            line = line.replace(f"qwen:{weights}", f"qwen:{self.tiny} --turns 2")  # a random model has nothing to say
        line = line.replace(SERVER, self.server.address)
        if " RUN" in line:
            newest = list_runs(self.home / "runs")
            line = line.replace(" RUN", f" {newest[0].id}") if newest else line
        return line

    def _chat(self, arguments: list[str]) -> None:
        if "--resume" in arguments and "RUN" in arguments:
            return  # there is no conversation on this page to come back to; tests/agent/repl does
        opened = Terminal(*arguments, cwd=self.folder)
        opened.wait_for("Enter inspects it")
        assert "Traceback" not in opened.leave()

    def _serve(self, arguments: list[str]) -> None:
        """Starts a server, waits for its first line or for nothing that is wrong, and ends it."""
        command = [sys.executable, "-m", "agent", *arguments]
        server = subprocess.Popen(
            command, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            if arguments[0] == "view":
                assert server.stdout.readline().startswith("http://127.0.0.1:")
            else:
                time.sleep(6)
                assert server.poll() is None
        finally:
            server.kill()
            server.communicate()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_work(
    page: Path, tmp_path: Path, server: ChatServer, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = Walk(tmp_path, server, tiny, monkeypatch)
    for block in blocks(page):
        if block.type == "fence":
            walk.write(block)
        else:
            for line in commands(block.content):
                walk.run(line)


def test_the_readme_is_understood() -> None:
    command = typer.main.get_command(app)
    lines = [line for block in blocks(ROOT / "README.md") for line in commands(block.content)]
    own = [line for line in lines if line.startswith("flawlens ")]
    assert len(own) > 20
    for line in own:
        understood(command, shlex.split(line)[1:])
    for line in lines:
        if line.startswith("pip install 'flawlens"):
            check_foreign(line)


def understood(command: Any, arguments: list[str]) -> None:
    """Options and subcommands exist; that files exist is not asked."""
    while commands := getattr(command, "commands", None):
        assert arguments[0] in commands, arguments
        command, arguments = commands[arguments[0]], arguments[1:]
    known = {name for parameter in command.params for name in parameter.opts}
    given = {argument.split("=")[0] for argument in arguments if re.match(r"--?[a-z]", argument)}
    assert given <= known | {"--home"}, (command.name, given - known)


def test_every_page_is_listed_and_every_link_leads_somewhere() -> None:
    listed = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert page.name == "README.md" or f"({page.name})" in listed, page.name
    for page in [*PAGES, ROOT / "README.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def check_foreign(line: str) -> None:
    """An extra that is to be installed exists."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for named in re.findall(r"flawlens\[(\w+)\]", line):
        assert named in extras, line
