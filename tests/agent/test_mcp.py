"""The MCP server as another agent meets it: the official client, over stdin and stdout of a real process."""

from __future__ import annotations

import base64
import importlib.util
import io
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from jsonschema import validate
from mcp import Client, StdioServerParameters
from PIL import Image
from typer.testing import CliRunner

from agent.__main__ import app
from agent.conversation import Conversation
from agent.diagnosis import Inspection
from agent.inspector import Inspector
from agent.mcp_server.offered import Answer, Offered
from agent.mcp_server.server import _result
from agent.planners import PlannerError, make_planner
from agent.trace import list_runs
from tools.image import save_image

ROOT = Path(__file__).parents[2]
Talk = Callable[[Client], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def home(parts: Path) -> Path:
    """The home of the other tests, where the detector of good_1.png may be fitted already."""
    return parts / "home"


def talk(home: Path, allowed: Path, what: Talk) -> None:
    """Runs a client's calls against a server of its own."""

    @asynccontextmanager
    async def connected() -> AsyncIterator[Client]:
        arguments = ["-m", "agent", "mcp", "--allow", str(allowed), "--home", str(home)]
        async with Client(StdioServerParameters(command=sys.executable, args=arguments, cwd=ROOT)) as client:
            yield client

    async def run() -> None:
        with anyio.fail_after(150):
            async with connected() as client:
                await what(client)

    anyio.run(run)


def text_of(result: Any) -> str:
    return str(result.content[0].text)


def test_an_agent_inspects_and_looks_closer(parts: Path, home: Path) -> None:
    async def calls(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {"inspect", "open_part", "zoom", "anomaly_map", "search_knowledge", "follow_up"} <= tools.keys()
        assert set(tools["zoom"].input_schema["required"]) == {"part", "image", "box"}
        assert "full resolution" in (tools["zoom"].description or "")

        steps: list[str] = []

        async def progress(done: float, total: float | None, message: str | None) -> None:
            steps.append(message or "")

        asked = {"image": "scratched.png", "references": ["good_1.png"], "product": "bracket"}
        found = await client.call_tool("inspect", asked, progress_callback=progress)
        assert not found.is_error
        diagnosis = found.structured_content
        assert diagnosis["verdict"] == "defective"
        assert "defective" in text_of(found)
        words = text_of(found)
        assert all(f"{item['id']} {item['tool']}: {item['finding']}" in words for item in diagnosis["evidence"])
        assert f"what to do: {diagnosis['repair']['disposition']}" in words
        drawn = [file for item in diagnosis["evidence"] if item["above_normal"] for file in item["files"]]
        assert [block.type for block in found.content] == ["text", "image", *("image" for _ in drawn)][:5]
        assert steps[:3] == ["intake", "survey: anomaly_map, compare_with_reference", "plan: zoom"]

        near = {"part": diagnosis["part"], "image": "part", "box": [400, 150, 650, 330]}
        looked = await client.call_tool("zoom", near)
        assert looked.structured_content["id"] == f"E{len(diagnosis['evidence']) + 1}"
        assert looked.content[1].type == "image"
        told = await client.call_tool("search_knowledge", {"part": diagnosis["part"], "query": "thin scratch"})
        assert "> How it looks:" in text_of(told)
        answer = await client.call_tool("follow_up", {"part": diagnosis["part"], "question": "lower right?"})
        assert answer.structured_content["evidence"]
        kept = await client.call_tool("get_run", {"run": diagnosis["part"]})
        assert kept.structured_content["diagnosis"]["verdict"] == "defective"
        assert kept.structured_content["steps"][0]["node"] == "intake"
        assert (await client.call_tool("list_products", {})).structured_content == {"products": []}

    talk(home, parts, calls)


def test_single_tools_on_a_part_that_was_not_inspected(parts: Path, home: Path) -> None:
    async def calls(client: Client) -> None:
        opened = await client.call_tool("open_part", {"image": "good_2.png", "references": ["good_1.png"]})
        part = opened.structured_content["part"]
        assert opened.structured_content["images"] == ["part", "reference_1"]
        found = await client.call_tool("anomaly_map", {"part": part})
        assert found.structured_content["id"] == "E1"
        again = await client.call_tool("compare_with_reference", {"part": part, "reference": "reference_1"})
        assert again.structured_content["id"] == "E2"

    talk(home, parts, calls)
    assert list_runs(home / "runs")[0].status == "stopped"


def test_mistakes_are_results_and_the_server_lives_on(parts: Path, home: Path, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "part.png").write_bytes((parts / "good_1.png").read_bytes())
    (allowed / "out.png").symlink_to(parts / "good_1.png")
    (allowed / "folder").symlink_to(parts)
    (allowed / "text.png").write_text("no picture")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (allowed / "odd").mkdir()
    Path(os.fsdecode(bytes(allowed) + b"/odd/\xff.png")).write_text("no picture")
    other = Conversation.begin(Inspector(home, make_planner("rules"), "rules"), Inspection(parts / "good_1.png"))

    async def calls(client: Client) -> None:
        outside = [
            str(parts / "good_1.png"),
            "../parts/good_1.png",
            "out.png",
            "folder/good_1.png",
            "/etc/passwd",
            "/nowhere",
            str(tmp_path / "circle"),
            "part.png\0",
        ]
        for name in outside:
            refused = await client.call_tool("inspect", {"image": name})
            assert refused.is_error
            assert "outside the allowed folders" in text_of(refused)
            refused = await client.call_tool("open_part", {"image": "part.png", "references": [name]})
            assert "outside the allowed folders" in text_of(refused)
        refused = await client.call_tool("inspect", {"image": "text.png"})
        assert refused.is_error
        assert "Traceback" not in text_of(refused)
        refused = await client.call_tool("open_part", {"image": "part.png", "references": ["odd"]})
        assert "not a picture" in text_of(refused)
        part = (await client.call_tool("open_part", {"image": "part.png"})).structured_content["part"]
        for name, arguments, words in [
            ("inspect", {}, "image"),
            ("inspect", {"image": "part.png", "colour": "red"}, "colour"),
            ("inspect", {"image": ["part.png"]}, "image"),
            ("zoom", {"part": part, "image": "part"}, "box"),
            ("zoom", {"part": part, "image": "part", "box": [9, 9, 1, 1]}, "not valid"),
            ("zoom", {"part": part, "image": "/etc/passwd", "box": [0, 0, 9, 9]}, "there is no image"),
            ("zoom", {"part": part, "image": "part", "box": [0, 0, 9, 9], "path": "x"}, "path"),
            ("zoom", {"image": "part", "box": [0, 0, 9, 9]}, "part"),
            ("zoom", {"part": "../..", "image": "part", "box": [0, 0, 9, 9]}, "no run"),
            ("measure", {"part": other.id, "box": [0, 0, 9, 9]}, "outside the allowed folders"),
            ("recall_cases", {"part": part}, "there is no tool 'recall_cases'"),
            ("get_run", {"run": "nothing"}, "no run"),
            ("rm", {}, "there is no tool"),
        ]:
            refused = await client.call_tool(name, arguments)
            assert refused.is_error, name
            assert words in text_of(refused), text_of(refused)
            assert "\n" not in text_of(refused)
        fine = await client.call_tool("zoom", {"part": part, "image": "part", "box": [0, 0, 500, 500]})
        assert not fine.is_error

    talk(home, allowed, calls)


def test_a_large_picture_is_sent_small_and_values_fit_what_was_promised(home: Path, tmp_path: Path) -> None:
    save_image(tmp_path / "large.png", np.full((1500, 2000, 3), 120, np.uint8))

    async def calls(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {name for name, tool in tools.items() if tool.annotations.read_only_hint} == {"get_run", "list_products"}
        part = (await client.call_tool("open_part", {"image": "large.png"})).structured_content["part"]
        found = await client.call_tool("zoom", {"part": part, "image": "part", "box": [0, 0, 1000, 1000]})
        with Image.open(io.BytesIO(base64.b64decode(found.content[1].data))) as picture:
            assert max(picture.size) == 1024
        validate(found.structured_content, tools["zoom"].output_schema)

    talk(home, tmp_path, calls)


def test_a_run_can_be_read_during_an_inspection_and_a_cancelled_one_ends(parts: Path, home: Path) -> None:
    asked = {"image": "scratched.png", "references": ["good_1.png"], "question": "cancelled?"}

    async def calls(client: Client) -> None:
        with anyio.move_on_after(60) as scope:

            async def progress(done: float, total: float | None, message: str | None) -> None:
                assert not (await client.call_tool("list_products", {})).is_error
                scope.cancel()

            await client.call_tool("inspect", asked, progress_callback=progress)
        assert scope.cancelled_caught
        looked = await client.call_tool("open_part", {"image": "good_1.png"})  # waits for its turn
        assert not looked.is_error

    talk(home, parts, calls)
    cancelled = next(run for run in list_runs(home / "runs") if run.inspection["question"] == "cancelled?")
    assert (cancelled.status, cancelled.error) in [
        ("failed", "CancelledCallError: the client no longer waits for it"),
        ("stopped", "not inspected yet"),
    ]


def test_an_error_of_the_program_is_a_result_too_and_its_traceback_is_logged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(arguments: dict[str, Any], watch: Any) -> Answer:
        raise ZeroDivisionError("by\nzero")

    told = _result(Offered("", {}, fails), {}, lambda event: None)
    assert told.is_error
    assert text_of(told) == "an error in the server, see its log: ZeroDivisionError: by zero"
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" in printed.err


def test_the_command_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["mcp", "--allow", str(tmp_path / "none")]).exit_code == 2
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mcp" else found(name))
    done = CliRunner().invoke(app, ["mcp", "--allow", str(tmp_path)])
    assert isinstance(done.exception, PlannerError)
    assert "pip install 'flawlens[mcp]'" in str(done.exception)
