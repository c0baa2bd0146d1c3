"""Whole inspections over a loopback server that answers in every way in which servers and models really answer."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from agent.diagnosis import Inspection, Procedure
from agent.inspector import Inspector
from agent.planners.server import make_server_planner
from agent.wire.dialect import QWEN25_VL, Dialect
from tests.agent.conftest import ScriptedPlanner
from tests.agent.planners.chat_server import Answer, ChatServer, call, refusing, step

FIXTURES = sorted((Path(__file__).parent / "wire" / "replies").glob("*.json"))
LOOK = step("search_knowledge", "What could it be?", query="thin bright line")
ANSWER: dict[str, Any] = {
    "verdict": "defective",
    "probability": 0.9,
    "repair": {"disposition": "hold"},
    "summary": "A difference [E2].",
}
DIAGNOSIS = step("submit_diagnosis", **ANSWER)


@pytest.fixture(scope="module")
def inspector(tmp_path_factory: pytest.TempPathFactory) -> Inspector:
    """One for all tests: its detector is fitted once; each test sets its planner."""
    return Inspector(tmp_path_factory.mktemp("home"), ScriptedPlanner(replies=[]), "openai")


@pytest.fixture(scope="module")
def inspection(parts: Path) -> Inspection:
    return Inspection(parts / "scratched.png", (parts / "good_1.png",), "bracket")


def inspect(
    inspector: Inspector,
    inspection: Inspection,
    server: ChatServer,
    *,
    dialect: Dialect | None = None,
    streamed: bool = False,
    **procedure: Any,
) -> dict[str, Any]:
    inspector.planner = make_server_planner(f"{server.address}#tiny", dialect=dialect, timeout=2.0, retries=2)
    inspector.procedure = Procedure(**procedure)
    heard: list[str] = []
    run = inspector.inspect(inspection, hear=heard.append if streamed else None)
    assert run.status == "finished"
    assert run.diagnosis is not None
    return run.diagnosis


def test_an_inspection_in_json_actions(inspector: Inspector, inspection: Inspection) -> None:
    with ChatServer(LOOK, DIAGNOSIS, DIAGNOSIS) as server:
        found = inspect(inspector, inspection, server)
    assert found["outcome"] == "submitted"
    assert found["scores"]["planner"] == 0.9
    assert found["usage"]["tool_calls"] == 1
    offered = server.asked[0]["response_format"]["json_schema"]["schema"]["anyOf"]
    assert "submit_diagnosis" not in [option["properties"]["name"]["const"] for option in offered]
    assert len(server.asked[1]["response_format"]["json_schema"]["schema"]["anyOf"]) > 1


def test_an_inspection_in_native_calls(inspector: Inspector, inspection: Inspection) -> None:
    replies = [call("search_knowledge", query="thin bright line"), call("submit_diagnosis", **ANSWER)]
    with ChatServer(*replies, then=replies[1]) as server:
        found = inspect(inspector, inspection, server, dialect=QWEN25_VL)
    assert found["outcome"] == "submitted"
    assert server.asked[1]["messages"][-1]["role"] == "tool"
    assert server.asked[0]["tools"] == server.asked[2]["tools"]


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_every_recorded_reply_is_got_over_and_is_never_a_normal_part(
    inspector: Inspector, inspection: Inspection, path: Path
) -> None:
    dialect = QWEN25_VL if path.stem.startswith(("native", "reasoning", "hermes")) else None
    recorded = json.loads(path.read_text(encoding="utf-8"))["message"]
    with ChatServer(recorded, LOOK, then=DIAGNOSIS) as server:
        found = inspect(inspector, inspection, server, dialect=dialect)
    assert found["outcome"] in ("submitted", "no_call", "malformed")
    assert found["verdict"] != "normal" or "normal" in json.dumps(recorded)
    if found["outcome"] != "submitted":
        assert (found["verdict"], found["confidence"]) == ("uncertain", 0.0)
        assert any(found["outcome"] in reason for reason in found["degraded"])


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_every_recorded_reply_without_end_ends(inspector: Inspector, inspection: Inspection, path: Path) -> None:
    recorded = json.loads(path.read_text(encoding="utf-8"))["message"]
    with ChatServer(then=recorded) as server:
        found = inspect(inspector, inspection, server, turns=5, streamed=True)
    assert found["verdict"] != "normal" or "normal" in json.dumps(recorded)
    assert len(server.asked) <= 5


TROUBLES = {
    "500 now and then": (refusing(500, "busy"), LOOK, refusing(503, "busy"), DIAGNOSIS, DIAGNOSIS),
    "429 with a pause": (refusing(429, "slow down", retry_after="0"), LOOK, DIAGNOSIS, DIAGNOSIS),
    "dropped once": (Answer(drop="before"), LOOK, Answer({"choices": []}, drop="within"), DIAGNOSIS, DIAGNOSIS),
    "slow once": (lambda _: time.sleep(0.7) or LOOK, DIAGNOSIS, DIAGNOSIS),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_passing_trouble_is_got_over(
    inspector: Inspector, inspection: Inspection, trouble: str, streamed: bool
) -> None:
    with ChatServer(*TROUBLES[trouble], then=DIAGNOSIS) as server:
        assert inspect(inspector, inspection, server, streamed=streamed)["outcome"] == "submitted"


LASTING = {
    "500": refusing(500, "out of memory"),
    "dropped": Answer(drop="before"),
    "slow": Answer(slow=30.0),
    "dripping": Answer('{"choices": []' + " " * 4000, drip=0.05),
    "garbage": Answer("<html>bad gateway</html>", status=502),
    "empty choices": {"choices": [], "usage": None},
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("trouble", LASTING)
def test_lasting_trouble_is_an_outcome_in_bounded_time(
    inspector: Inspector, inspection: Inspection, trouble: str, streamed: bool
) -> None:
    started = time.monotonic()
    with ChatServer(LOOK, then=LASTING[trouble]) as server:
        found = inspect(inspector, inspection, server, seconds=12, streamed=streamed)
    assert time.monotonic() - started < 60
    assert found["outcome"] in ("planner_failed", "time_limit")
    assert (found["verdict"], found["confidence"]) == ("uncertain", 0.0)
    assert found["scores"]["detector"] is not None
    assert len(found["evidence"]) >= 3


def test_a_server_for_one_picture_is_asked_again_with_a_canvas(inspector: Inspector, inspection: Inspection) -> None:
    def one_picture(body: dict[str, Any]) -> Any:
        if json.dumps(body["messages"]).count("data:image") > 1:
            return refusing(400, "At most 1 image(s) may be provided in one request.")
        return DIAGNOSIS if "Result of search_knowledge" in json.dumps(body["messages"]) else LOOK

    with ChatServer(then=one_picture) as server:
        found = inspect(inspector, inspection, server)
    assert found["outcome"] == "submitted"
    assert any("one picture" in reason for reason in found["degraded"])
    assert "All pictures lie on one canvas" in server.asked[-1]["messages"][0]["content"]


def test_a_server_for_text_goes_on_without_pictures_and_the_result_says_so(
    inspector: Inspector, inspection: Inspection
) -> None:
    def blind(body: dict[str, Any]) -> Any:
        if "data:image" in json.dumps(body["messages"]):
            return refusing(500, "image input is not supported - hint: you may need to provide the mmproj")
        return DIAGNOSIS if "Result of search_knowledge" in json.dumps(body["messages"]) else LOOK

    with ChatServer(then=blind) as server:
        found = inspect(inspector, inspection, server)
    assert found["outcome"] == "submitted"
    assert any("picture" in reason for reason in found["degraded"])


def test_a_server_without_constraints_is_spoken_to_in_native_calls(
    inspector: Inspector, inspection: Inspection
) -> None:
    def native(body: dict[str, Any]) -> Any:
        if "response_format" in body:
            return refusing(400, "response_format is not supported")
        asked = json.dumps(body["messages"])
        return call("submit_diagnosis", **ANSWER) if "[E3]" in asked else call("search_knowledge", query="thin line")

    with ChatServer(then=native) as server:
        found = inspect(inspector, inspection, server)
    assert found["outcome"] == "submitted"
    assert "tools" in server.asked[-1]
