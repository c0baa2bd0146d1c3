"""What a program of one's own imports, as the README shows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import agent

REPOSITORY = Path(__file__).parents[2]


def loaded_by(code: str) -> set[str]:
    command = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY)
    return {name.split(".")[0] for name in done.stdout.split()} | set(done.stdout.split())


def test_the_names_are_loaded_when_they_are_used_and_not_before() -> None:
    alone = loaded_by("import agent")
    assert not {"langgraph", "langchain_core", "chromadb", "pydantic", "numpy", "agent.diagnosis"} & alone
    asked = loaded_by("from agent import Inspection, Procedure, Diagnosis")
    assert "agent.diagnosis" in asked
    assert not {"langgraph", "chromadb", "onnxruntime", "agent.inspector"} & asked


def test_every_name_is_there_and_no_other() -> None:
    assert sorted(agent.__all__) == ["Diagnosis", "Inspection", "Inspector", "Procedure", "make_planner"]
    assert all(callable(getattr(agent, name)) for name in agent.__all__)
    assert set(agent.__all__) <= set(dir(agent))
    with pytest.raises(AttributeError, match="no attribute 'Inspecter'"):
        _ = agent.Inspecter


def test_a_program_inspects_a_part(parts: Path) -> None:
    from agent import Diagnosis, Inspection, Inspector, Procedure, make_planner

    procedure = Procedure(language="zh", turns=6)
    inspector = Inspector(parts / "home", make_planner("rules"), "rules", procedure=procedure)
    run = inspector.inspect(Inspection(parts / "scratched.png", (parts / "good_1.png",), product="bracket"))
    diagnosis = Diagnosis.model_validate(run.diagnosis)
    assert (diagnosis.verdict, diagnosis.planner, diagnosis.run_id) == ("defective", "rules", run.id)
    assert {evidence for defect in diagnosis.defects for evidence in defect.evidence} <= {
        evidence.id for evidence in diagnosis.evidence
    }
