"""Whole inspections by tiny random models of the real classes: the grammar alone makes every one end in a diagnosis."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.diagnosis import Inspection, Procedure
from agent.inspector import Inspector
from agent.planners import make_planner
from agent.planners.qwen_vl import QwenVL, make_qwen_vl
from tests.agent.conftest import ScriptedPlanner
from tests.agent.planners.conftest import Checkpoints

RUNS = 10
SHORT = {"temperature": 1.0, "thought_tokens": 6, "max_new_tokens": 700}


@pytest.fixture(scope="module")
def inspector(tmp_path_factory: pytest.TempPathFactory) -> Inspector:
    """One for all runs: its detector is fitted once."""
    return Inspector(tmp_path_factory.mktemp("home"), ScriptedPlanner(replies=[]), "qwen")


def tiny(folder: Path, seed: int) -> QwenVL:
    """A random model with another draw of its words for every seed, and texts short enough for a test."""
    planner = make_qwen_vl(str(folder), device="cpu", seed=seed, most_pixels=56 * 56 * 4, **SHORT)
    planner.dialect = replace(planner.dialect, longest_text=6)
    return planner


@pytest.mark.parametrize("seed", range(RUNS))
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_every_run_ends_with_a_valid_diagnosis_and_a_tool_call(
    inspector: Inspector, parts: Path, checkpoints: Checkpoints, family: str, seed: int
) -> None:
    inspector.planner = tiny(checkpoints(family), seed)
    inspector.procedure = Procedure(audit=seed < 3)
    inspection = Inspection(parts / "scratched.png", (parts / "good_1.png", parts / "good_2.png"), "screw")
    found = inspector.inspect(inspection).diagnosis
    assert found is not None
    assert found["outcome"] == "submitted"
    assert found["scores"]["planner"] is not None
    assert found["usage"]["tool_calls"] >= 1
    assert found["usage"]["image_tokens"] > 0
    known = {item["id"] for item in found["evidence"]}
    assert all(set(defect["evidence"]) <= known for defect in found["defects"])


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_the_products_own_settings_leave_room_for_a_diagnosis(
    inspector: Inspector, parts: Path, checkpoints: Checkpoints, family: str
) -> None:
    inspector.planner = make_planner(f"qwen:{checkpoints(family)}", device="cpu")
    inspector.procedure = Procedure(turns=2, audit=False)
    found = inspector.inspect(Inspection(parts / "scratched.png", (parts / "good_1.png",), "bracket")).diagnosis
    assert found is not None
    assert found["outcome"] == "submitted"


def test_a_question_about_the_object_is_answered(inspector: Inspector, parts: Path, checkpoints: Checkpoints) -> None:
    inspector.planner = tiny(checkpoints("qwen3_vl"), 1)
    found = inspector.inspect(Inspection(parts / "scratched.png", question="What material is it?")).diagnosis
    assert found is not None
    assert found["outcome"] == "answered"
    assert found["answer"]
    assert found["verdict"] == "uncertain"
