"""A run on disk survives whatever happens to its process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.trace import RunError, Trace, list_runs, read_run

KILLED_AT = """
import os, signal, sys
from pathlib import Path
from agent.diagnosis import Inspection
from agent.inspector import Inspector
from agent.planners import make_planner

home, image, reference, last = sys.argv[1:]

def watch(event):
    if event.step == int(last):
        os.kill(os.getpid(), signal.SIGKILL)

inspector = Inspector(Path(home), make_planner("rules"), "rules")
inspector.inspect(Inspection(Path(image), (Path(reference),), "bracket"), watch)
"""


def inspect_and_kill(home: Path, parts: Path, step: int) -> None:
    paths = [str(home), str(parts / "scratched.png"), str(parts / "good_1.png"), str(step)]
    done = subprocess.run([sys.executable, "-c", KILLED_AT, *paths], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("step", [0, 1, 2, 4, 6])
def test_a_process_killed_at_any_step_leaves_a_run_that_says_so(tmp_path: Path, parts: Path, step: int) -> None:
    inspect_and_kill(tmp_path, parts, step)
    (listed,) = list_runs(tmp_path / "runs")
    run = read_run(tmp_path / "runs", listed.id)
    assert run.status == "killed"
    assert len(run.events) == step + 1
    shown = subprocess.run(
        [sys.executable, "-m", "agent", "--home", str(tmp_path), "runs", "show", run.id],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "killed" in shown.stdout


def test_a_half_written_last_line_is_skipped(tmp_path: Path) -> None:
    trace = Trace.new(tmp_path, {"image": "a.png"}, {})
    trace.step("survey", {"messages": []})
    with (trace.folder / "events.jsonl").open("a") as file:
        file.write('{"step": 1, "node": "pl')
    assert [event.node for event in read_run(tmp_path, trace.id).events] == ["survey"]


def test_a_run_is_running_while_its_process_holds_it_and_finished_after(tmp_path: Path) -> None:
    trace = Trace.new(tmp_path, {"image": "a.png"}, {"planner": "rules"})
    seen_elsewhere = "import sys; from pathlib import Path; from agent.trace import read_run\n"
    seen_elsewhere += "print(read_run(Path(sys.argv[1]), sys.argv[2]).status)"
    command = [sys.executable, "-c", seen_elsewhere, str(tmp_path), trace.id]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "running"
    trace.finish({"verdict": "normal"})
    assert read_run(tmp_path, trace.id).status == "finished"
    assert json.loads((trace.folder / "run.json").read_text())["format"] == "flawlens-trace-1"


def test_a_run_is_found_by_the_beginning_of_its_id_and_nothing_else(tmp_path: Path) -> None:
    trace = Trace.new(tmp_path, {}, {})
    assert read_run(tmp_path, trace.id[:12]).id == trace.id
    for unknown in ("", "..", "../..", "zzz"):
        with pytest.raises(RunError, match="runs list"):
            read_run(tmp_path, unknown)


def test_a_broken_run_is_left_out_of_the_list(tmp_path: Path) -> None:
    trace = Trace.new(tmp_path, {}, {})
    (tmp_path / "20200101-000000-abc").mkdir()
    (tmp_path / "20200101-000000-abc" / "run.json").write_text("{")
    assert [run.id for run in list_runs(tmp_path)] == [trace.id]
    with pytest.raises(RunError, match="not a readable run"):
        read_run(tmp_path, "20200101")


def test_a_home_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="--home") as caught:
        Trace.new(tmp_path / "file" / "runs", {}, {})
    assert "\n" not in str(caught.value)


def test_two_inspections_share_a_home(tmp_path: Path, parts: Path) -> None:
    command = [sys.executable, "-m", "agent", "inspect", str(parts / "scratched.png")]
    command += ["-r", str(parts / "good_1.png"), "--json"]
    environment = {**os.environ, "FLAWLENS_HOME": str(tmp_path)}
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(2)]
    results = [json.loads(process.communicate()[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert results[0]["verdict"] == results[1]["verdict"]
    assert len(list_runs(tmp_path / "runs")) == 2
