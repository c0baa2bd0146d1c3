"""Runs to report: a defective, a normal and an open one, and one without a valid answer; all real but the planner."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.diagnosis import Inspection
from agent.trace import Run
from knowledge_base.entry import Entry, read_entry
from knowledge_base.store import SHIPPED
from tests.agent.conftest import ScriptedPlanner, inspected, says, submits

SCRATCH: Entry = read_entry(SHIPPED / "scratch.md")
ENGLISH, CHINESE = SCRATCH.sections["en"], SCRATCH.sections["zh"]
DEFECT = {
    "type": "scratch",
    "box": [440, 180, 530, 220],
    "place": "upper centre",
    "appearance": "thin bright line",
    "severity": "minor",
    "effect": ENGLISH.effect,
    "cause": " ".join(ENGLISH.causes[:2]),
    "evidence": ["E1", "E4"],
}
REPAIR = {
    "disposition": "rework",
    "actions": [f"{ENGLISH.repair[0]} [scratch]", "Tell the shift lead [general practice]"],
    "prevention": [f"{ENGLISH.prevention[1]} [scratch]"],
    "knowledge": ["scratch"],
}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def look(home: Path, parts: Path, name: str, *replies: Any, **more: Any) -> Run:
    """The run of one part, by a planner with these replies."""
    references = (parts / "good_1.png",)
    return inspected(
        home, ScriptedPlanner(replies=list(replies)), Inspection(parts / name, references, "bracket"), **more
    )


@pytest.fixture(scope="session")
def defective(home: Path, parts: Path) -> Run:
    closer = says("", ("zoom", {"image": "part", "box": DEFECT["box"]}), ("search_knowledge", {"query": "scratch"}))
    answer = submits("defective", 0.99, defects=[DEFECT], repair=REPAIR, against="the light [E2]")
    return look(home, parts, "scratched.png", closer, answer)


@pytest.fixture(scope="session")
def normal(home: Path, parts: Path) -> Run:
    return look(home, parts, "good_5.png", submits("normal", 0.02))


@pytest.fixture(scope="session")
def silent(home: Path, parts: Path) -> Run:
    """A planner that never submits: there is no answer."""
    return look(home, parts, "good_4.png", says("I think it is fine."), turns=1)


def uncertain(run: Run) -> Run:
    """The same run with an open verdict."""
    assert run.diagnosis
    repair = {**run.diagnosis["repair"], "disposition": "hold"}
    return replace(run, diagnosis={**run.diagnosis, "verdict": "uncertain", "confidence": 0.9, "repair": repair})
