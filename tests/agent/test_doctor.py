"""The doctor: this machine is healthy, and every way in which one is not comes with its remedy."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

from agent import doctor
from agent.doctor import Finding, examine
from tools.detectors import features


def named(findings: list[Finding], name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


def test_this_machine_can_inspect(tmp_path: Path) -> None:
    findings = examine(tmp_path / "home")
    assert [finding for finding in findings if finding.level == "problem"] == []
    for name in ("Python", "packages", "backbone", "SQLite", "home", "knowledge base"):
        assert named(findings, name).level == "ok"
    assert {"level", "name", "text", "remedy"} == set(findings[0].as_dict())


def test_a_home_that_cannot_be_written_is_a_problem_and_the_rest_is_still_checked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    findings = examine(tmp_path / "file" / "home")
    assert named(findings, "home").level == "problem"
    assert "--home" in named(findings, "home").remedy
    assert named(findings, "knowledge base").text.startswith("not checked")
    assert named(findings, "backbone").level == "ok"


def test_changed_weights_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tmp_path / "weights.onnx"
    monkeypatch.setattr(features, "ASSET", changed)
    assert doctor.backbone().level == "problem"
    changed.write_bytes(b"other weights")
    finding = doctor.backbone()
    assert "not the file that was released" in finding.text
    assert "git restore" in finding.remedy


def test_packages_outside_the_declared_range_are_named_with_the_pip_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "flawlens-9.dist-info"
    installed.mkdir()
    wanted = ("numpy>=99", "rich>=1", "not-there>=1", "torch>=99; extra == 'torch'")
    lines = ["Metadata-Version: 2.4", "Name: flawlens", "Version: 9", *(f"Requires-Dist: {line}" for line in wanted)]
    (installed / "METADATA").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    problems = [finding for finding in doctor.packages() if finding.level == "problem"]
    assert [problem.remedy for problem in problems] == ["pip install 'numpy>=99'", "pip install 'not-there>=1'"]
    assert "not installed" in problems[1].text


def test_an_old_sqlite_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    assert (doctor.sqlite().level, doctor.sqlite().remedy != "") == ("problem", True)


def test_an_old_python_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 14))
    assert doctor.python() == Finding("problem", "Python", "3.10.14 is too old", "install Python 3.11 or newer")


def test_a_knowledge_folder_that_does_not_open_is_a_problem(tmp_path: Path) -> None:
    folder = tmp_path / "knowledge"
    folder.mkdir()
    (folder / "entries").touch()
    finding = doctor.knowledge(tmp_path)
    assert finding.level == "problem"
    assert str(folder) in finding.remedy


def test_without_torch_nothing_is_imported_and_the_command_that_adds_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    torch, *others = doctor.optional()
    assert (torch.level, torch.remedy) == ("note", "in the folder of flawlens: pip install -e '.[torch]'")
    assert "CUDA" not in {finding.name for finding in others}


@pytest.mark.parametrize("fault", ["OSError('libcudart.so: cannot open')", "ImportError('torch._C')"])
def test_a_torch_that_does_not_load_is_only_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(f"raise {fault}", encoding="utf-8")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    torch, *others = doctor.optional()
    assert (torch.level, torch.name) == ("note", "torch")
    assert "does not load" in torch.text
    assert "CUDA" not in {finding.name for finding in others}
