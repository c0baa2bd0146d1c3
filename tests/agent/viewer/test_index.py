"""The list's index follows the runs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.trace import Trace
from agent.viewer.index import FILE, Asked, RunIndex
from tests.agent.viewer.conftest import Viewer


@pytest.fixture
def runs(viewer: Viewer, tmp_path: Path) -> Path:
    return Path(shutil.copytree(viewer.home / "runs", tmp_path / "runs", ignore=shutil.ignore_patterns("index*")))


def listed(index: RunIndex, **asked: Any) -> list[str]:
    return [row["id"] for row in index.list(Asked(**asked)).rows]


def change(runs: Path, id_: str, **fields: Any) -> None:
    path = runs / id_ / "run.json"
    saved = json.loads(path.read_text())
    saved["diagnosis"].update(fields)
    path.write_text(json.dumps(saved))
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


def test_it_filters_searches_and_sorts(viewer: Viewer, runs: Path) -> None:
    index, ids = RunIndex(runs), viewer.ids
    assert listed(index) == sorted(ids.values(), reverse=True)
    assert listed(index, sort="oldest") == sorted(ids.values())
    assert listed(index, state="defective", words="scratch")
    assert listed(index, words="SCRATCHED.png bracket", sort="oldest") == [ids["scratched"], ids["again"]]
    assert listed(index, product="bracket", planner="rules", words=ids["again"]) == [ids["again"]]
    assert listed(index, words="br%cket") == []
    assert listed(index, words="b_acket") == []
    assert listed(index, words="' OR 1=1 --") == []
    scores = [row["fused"] for row in index.list(Asked(sort="score")).rows]
    assert scores == sorted(scores, reverse=True)
    assert listed(index, sort="id; DROP TABLE runs") == listed(index)
    assert listed(index, page=9) == []
    assert dict(index.list(Asked()).choices["product"])["bracket"] == 2


def test_it_sees_what_changes(viewer: Viewer, runs: Path) -> None:
    index, gone = RunIndex(runs), viewer.ids["again"]
    assert gone in listed(index)
    shutil.rmtree(runs / gone)
    assert gone not in listed(index)
    change(runs, viewer.ids["good"], verdict="uncertain")
    assert viewer.ids["good"] in listed(index, state="uncertain")
    trace = Trace.new(runs, {"image": "x.png", "references": [], "product": None, "question": None}, {"planner": "p"})
    assert index.list(Asked()).rows[0]["state"] == "running"
    trace.fail(RuntimeError("broke"))
    assert listed(index, state="failed") == [trace.id]


def test_a_killed_run_is_told_from_one_that_goes_on(runs: Path) -> None:
    trace = Trace.new(runs, {"image": "x.png", "references": [], "product": None, "question": None}, {"planner": "p"})
    index = RunIndex(runs)
    assert listed(index, state="running") == [trace.id]
    trace._lock.release()  # as the end of its process does
    assert listed(index, state="killed") == [trace.id]


def test_a_damaged_or_old_index_is_made_again(viewer: Viewer, runs: Path) -> None:
    assert listed(RunIndex(runs))
    (runs / FILE).write_bytes(b"no database" * 1000)
    assert listed(RunIndex(runs)) == sorted(viewer.ids.values(), reverse=True)
    (runs / "20200101-000000-abcdef").mkdir()
    (runs / "20200101-000000-abcdef" / "run.json").write_text("{")
    assert listed(RunIndex(runs), state="unreadable") == ["20200101-000000-abcdef"]


def test_damage_while_it_is_used_is_mended(viewer: Viewer, runs: Path) -> None:
    index, ids = RunIndex(runs), sorted(viewer.ids.values(), reverse=True)
    assert listed(index) == ids
    size = (runs / FILE).stat().st_size
    for bad in (b"\x55" * size, (runs / FILE).read_bytes()[:4096] + b"\x55" * (size - 4096), None):
        if bad is None:
            (runs / FILE).unlink()
        else:
            (runs / FILE).write_bytes(bad)
        assert listed(index) == ids
        assert listed(RunIndex(runs)) == ids
    shutil.rmtree(runs)
    assert listed(index) == []


@pytest.mark.parametrize(
    "content",
    ["", "[]", "null", '{"status": "finished"}', '{"status": "finished", "inspection": {}, "setup": {}, "started": 1}'],
)
def test_an_odd_run_spoils_no_list(viewer: Viewer, runs: Path, content: str) -> None:
    odd = runs / "20200101-000000-abcdef"
    odd.mkdir()
    (odd / "run.json").write_text(content)
    (runs / "Folder of mine").mkdir()
    (runs / "Folder of mine" / "run.json").write_text("{}")
    (runs / "linked").symlink_to(runs / viewer.ids["good"])
    index = RunIndex(runs)
    assert listed(index) == [*sorted(viewer.ids.values(), reverse=True), odd.name]
    assert listed(index, state="unreadable") == [odd.name]


@pytest.mark.parametrize("fields", [{"scores": {"fused": {}}}, {"summary": 3}, {"defects": [1]}, {"seconds": "long"}])
def test_odd_values_spoil_no_list(viewer: Viewer, runs: Path, fields: dict[str, Any]) -> None:
    index = RunIndex(runs)
    change(runs, viewer.ids["good"], **fields)
    assert listed(index) == sorted(viewer.ids.values(), reverse=True)


def test_neighbours(viewer: Viewer, runs: Path) -> None:
    first, second, third = sorted(viewer.ids.values())
    assert RunIndex(runs).neighbours(second) == (third, first)
    assert RunIndex(runs).neighbours(third) == (None, second)
