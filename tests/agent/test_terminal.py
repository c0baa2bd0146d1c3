"""What a person reads in a terminal: complete, harmless whatever text is shown, and whole in a pipe."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from typer.testing import CliRunner

from agent.__main__ import app
from agent.diagnosis import Defect, Diagnosis, Repair, Scores
from agent.doctor import Finding
from agent.listings import print_entries, print_findings, print_passages
from agent.progress import Progress
from agent.shown import visible
from agent.terminal import print_diagnosis, print_run, print_runs, summary_of
from agent.trace import Event, Run, Trace, list_runs, read_run
from knowledge_base.passage import Passage
from knowledge_base.store import KnowledgeBase
from tools.evidence import Evidence, Region
from tools.image import Box

HOSTILE = "[bold red]x[/] \x1b[2J\x1b]0;owned\x07 \u202egnp.exe \x9b31m :boom: \udcff"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
PASSAGE = Passage("scratch", "Scratch", "bracket", "scratch", "en", 0.42, "How it looks: thin\nCauses: grit", "our own")


def diagnosed(run_id: str, text: str) -> dict[str, Any]:
    """A diagnosis in which every free text ends with `text`."""
    evidence = Evidence(
        id="E1",
        tool="anomaly_map",
        finding=f"1 region above the normal range {text}",
        above_normal=True,
        regions=[Region(box=Box(100, 200, 300, 400), score=1.4)],
        files=["anomaly_map-1.jpg"],
        passages=[{**asdict(PASSAGE), "title": f"Scratch {text}", "source": f"our own {text}"}],
    )
    defect = Defect(
        type="scratch",
        box=[100, 200, 300, 400],
        place="upper left",
        appearance=f"thin {text}",
        severity="major",
        effect=f"rusts {text}",
        cause=f"grit {text}",
        evidence=["E1"],
    )
    actions = [f"polish it {text} [scratch]"]
    repair = Repair(disposition="rework", actions=actions, prevention=["clean it [scratch]"], knowledge=["scratch"])
    return Diagnosis(
        run_id=run_id,
        verdict="defective",
        confidence=0.9876,
        scores=Scores(detector=0.9999, planner=None, fused=0.9876),
        defects=[defect],
        repair=repair,
        summary=f"It is scratched {text} [E1]",
        against=f"The light was odd {text}",
        evidence=[evidence],
        outcome="submitted",
        degraded=[f"no reference {text}"],
        notes=[f"part: turned {text}"],
        planner="rules",
        image=f"/parts/{text}.png",
        product=f"bracket {text}",
        seconds=1.5,
    ).model_dump(mode="json")


def asked(text: str) -> dict[str, Any]:
    return {"image": f"/parts/{text}.png", "references": ["/parts/good.png"], "product": None, "question": text}


def recorded(trace: Trace, text: str) -> None:
    """Two steps: a call with its filed answer, and one that the tool refused."""
    call = {"name": "zoom", "args": {"image": text}, "id": "1", "type": "tool_call"}
    answers = [
        {"type": "ai", "content": f"look closer {text}", "tool_calls": [call]},
        {"type": "tool", "content": f"there is no image {text}", "status": "error"},
        {"type": "tool", "content": "[E1] 1 region above the normal range"},
    ]
    pictures = [{"id": "part", "file": "part-1.jpg", "width": 640, "height": 480, "notes": [f"turned {text}"]}]
    trace.step("intake", {"images": pictures})
    trace.step("act", {"messages": answers, "evidence": diagnosed(trace.id, text)["evidence"]})


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    """A run that has just begun, in a home with a space in its name."""
    return Trace.new(
        tmp_path / "my home" / "runs", asked("plain"), {"planner": "rules", "prompts": "0f", "versions": {}}
    )


def reread(trace: Trace) -> Run:
    return read_run(trace.folder.parent, trace.id)


@pytest.fixture
def finished(trace: Trace) -> Run:
    recorded(trace, "plain")
    trace.finish(diagnosed(trace.id, "plain"))
    return reread(trace)


def test_a_run_of_the_first_release_is_still_shown(trace: Trace, capsys: pytest.CaptureFixture[str]) -> None:
    from agent.page import render_page

    trace.step("plan", {"messages": [{"type": "ai", "content": "seen"}], "turns": 1})
    old = diagnosed(trace.id, "plain")
    trace.finish({name: value for name, value in old.items() if name not in ("usage", "answer")})
    run = reread(trace)
    print_diagnosis(run)
    print_run(run)
    assert "DEFECTIVE" in capsys.readouterr().out
    assert "Defective" in render_page(run)


def test_what_a_language_model_has_cost_is_shown(trace: Trace, capsys: pytest.CaptureFixture[str]) -> None:
    from agent.page import render_page

    cost = {"prompt_tokens": 1200, "image_tokens": 900, "completion_tokens": 80}
    trace.step("plan", {"spent": [{**cost, "flags": ["cut off"]}]})
    usage = {**cost, "turns": 3, "tool_calls": 1, "planner_seconds": 2.5, "tool_seconds": 0.5, "tool_call_rate": 0.3}
    trace.finish({**diagnosed(trace.id, "plain"), "usage": usage})
    print_diagnosis(reread(trace))
    assert "3 turns, 1 tool call, 1200 prompt tokens (900 of pictures), 80 generated" in capsys.readouterr().out
    print_run(reread(trace))
    shown = "1200 prompt tokens (900 of pictures), 80 generated; cut off"
    assert shown in capsys.readouterr().out
    assert shown in render_page(reread(trace))


def test_an_answer_about_the_object_stands_first_and_claims_no_verdict(
    trace: Trace, capsys: pytest.CaptureFixture[str]
) -> None:
    from agent.page import render_page

    answered = {"outcome": "answered", "answer": "Sheet <b>steel</b>.", "verdict": "uncertain", "defects": []}
    trace.finish({**diagnosed(trace.id, "plain"), **answered})
    print_diagnosis(reread(trace))
    shown = capsys.readouterr().out
    assert "ANSWERED" in shown
    assert "Sheet <b>steel</b>." in shown
    assert "UNCERTAIN" not in shown
    assert "What to do" not in shown
    page = render_page(reread(trace))
    assert "Sheet &lt;b&gt;steel&lt;/b&gt;." in page
    assert "What to do" not in page


def hostile(run: Run) -> Run:
    """The run with hostile text wherever text can come from outside."""
    call = {"name": HOSTILE, "args": {HOSTILE: HOSTILE}, "id": "1"}
    message = {"type": HOSTILE, "content": [{"text": HOSTILE}, {"type": HOSTILE}], "tool_calls": [call]}
    # By way of JSON, since a Diagnosis refuses the surrogate that a trace from elsewhere may hold.
    diagnosis = json.loads(json.dumps(diagnosed(run.id, "HOLE")).replace("HOLE", json.dumps(HOSTILE)[1:-1]))
    events = (Event(0, "act", 0.0, 0.1, {"messages": [message], "evidence": diagnosis["evidence"]}),)
    return replace(run, inspection=asked(HOSTILE), diagnosis=diagnosis, error=HOSTILE, events=events)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A colour terminal of 80 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")


@given(st.text())
def test_visible_text_has_no_control_characters_and_loses_nothing_else(text: str) -> None:
    shown = visible(text)
    assert not re.search(r"[^\n\t\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]", shown)
    assert visible(shown) == shown
    if text.isascii() and text.isprintable():
        assert shown == text


@pytest.mark.parametrize("on_terminal", [False, True])
def test_text_from_outside_cannot_steer_the_terminal(
    finished: Run, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest, on_terminal: bool
) -> None:
    if on_terminal:
        request.getfixturevalue("narrow")
    run = hostile(finished)
    print_diagnosis(run)
    print_run(run)
    print_runs([run])
    print_passages([replace(PASSAGE, title=HOSTILE, text=HOSTILE, source=HOSTILE)])
    shown = capsys.readouterr().out
    left = COLOUR.sub("", shown) if on_terminal else shown
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]", left)
    assert r"[bold red]x[/] \x1b[2J\x1b]0;owned\x07 \u202egnp.exe \x9b31m :boom: \udcff" in " ".join(left.split())


def test_a_diagnosis_says_all_an_engineer_acts_on(finished: Run, capsys: pytest.CaptureFixture[str]) -> None:
    print_diagnosis(finished)
    shown = capsys.readouterr().out
    for words in (
        "DEFECTIVE   confidence 98.8 %",
        "detector >0.999, planner none, fused 0.988",
        "rules (embedded, no language model)",
        "no reference plain",
        "part: turned plain",
        "scratch  major, upper left, box [100, 200, 300, 400]",
        "rusts plain",
        "rework",
        "polish it plain [scratch]",
        "clean it [scratch]",
        "scratch  Scratch plain (our own plain)",
        "E1  anomaly_map  above  1 region above the normal range plain",
        "The light was odd plain",
        str(finished.folder),
    ):
        assert words in shown


def test_in_a_pipe_lines_are_whole_and_plain(finished: Run, capsys: pytest.CaptureFixture[str]) -> None:
    long = "word " * 100 + "end"
    print_diagnosis(replace(finished, diagnosis=diagnosed(finished.id, long)))
    lines = capsys.readouterr().out.split("\n")
    assert any(f"rusts {long}" in line for line in lines)
    assert not any("\x1b" in line or line != line.rstrip() for line in lines)


@pytest.mark.usefixtures("narrow")
def test_at_80_columns_only_lines_to_copy_run_over_the_edge(finished: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run = replace(finished, diagnosis=diagnosed(finished.id, "a long text 缺陷 " * 8))
    print_diagnosis(run)
    print_run(run)
    print_runs([run])
    lines = COLOUR.sub("", capsys.readouterr().out).split("\n")
    wide = [line for line in lines if cell_len(line) > 80]
    assert all("flawlens runs" in line or str(run.folder) in line for line in wide)
    assert any(line.startswith("  E1  anomaly_map  above  1 region") for line in lines)


@pytest.mark.usefixtures("narrow")
def test_the_commands_below_a_diagnosis_work(finished: Run, capsys: pytest.CaptureFixture[str]) -> None:
    print_diagnosis(finished)
    shown = COLOUR.sub("", capsys.readouterr().out)
    commands = [shlex.split(line) for line in shown.split("\n") if line.startswith("  flawlens ")]
    assert [command[2] for command in commands] == ["show", "html"]
    for command in commands:
        assert CliRunner().invoke(app, command[1:]).exit_code == 0
    assert (finished.folder / "run.html").exists()


def test_a_run_is_shown_step_by_step(finished: Run, capsys: pytest.CaptureFixture[str]) -> None:
    print_run(finished)
    shown = capsys.readouterr().out
    for words in (
        "finished",
        "part: 640 x 480 px, pictures/part-1.jpg; turned plain",
        "planner: look closer plain",
        '-> zoom(image="plain")',
        "answer: there is no image plain",
        "E1 anomaly_map: 1 region above the normal range plain",
        "pictures/anomaly_map-1.jpg",
        "DEFECTIVE",
    ):
        assert words in shown
    assert "[E1]" not in shown  # the tool's answer is filed as evidence and not said twice


def test_the_status_of_an_unfinished_run_is_said_plainly(trace: Trace, capsys: pytest.CaptureFixture[str]) -> None:
    print_run(reread(trace))
    assert "running, another process is working on it" in capsys.readouterr().out
    print_run(replace(reread(trace), status="killed"))
    shown = capsys.readouterr().out
    assert "killed, its process ended" in shown
    assert "no step was completed" in shown
    trace.fail(RuntimeError("out of memory"))
    print_diagnosis(reread(trace))
    assert "failed, an error ended it: RuntimeError: out of memory" in capsys.readouterr().out


def test_runs_are_one_line_each(finished: Run, capsys: pytest.CaptureFixture[str]) -> None:
    print_runs([])
    assert "No runs yet" in capsys.readouterr().out
    odd = replace(finished, inspection={**finished.inspection, "image": "C:\\parts\\two\nlines.png"}, diagnosis=None)
    print_runs([*list_runs(finished.folder.parent), replace(odd, status="killed")])
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["run", "result", "product", "image"]
    assert first.split() == [finished.id, "defective", "98.8", "%", "plain.png"]
    assert second.split()[1:] == ["killed", r"two\nlines.png"]


def test_a_summary_is_json_of_a_finished_and_an_unfinished_run(finished: Run) -> None:
    summary = json.loads(json.dumps(summary_of(finished)))
    assert (summary["verdict"], summary["status"], summary["image"]) == ("defective", "finished", "/parts/plain.png")
    assert summary_of(replace(finished, diagnosis=None))["verdict"] is None


def test_passages_are_shown_with_their_source_or_said_to_be_missing(capsys: pytest.CaptureFixture[str]) -> None:
    print_passages([PASSAGE])
    shown = capsys.readouterr().out
    assert "Scratch  [scratch]" in shown
    assert "relevance 0.42, source: our own" in shown
    assert "\n  Causes: grit\n" in shown
    print_passages([])
    assert "Nothing relevant" in capsys.readouterr().out


def test_entries_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = KnowledgeBase(tmp_path).list()
    print_entries(entries)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(entries) + 2
    assert lines[-1] == f"{len(entries)} entries"
    print_entries([])
    assert capsys.readouterr().out == "0 entries\n"


def test_findings_come_with_remedies_and_a_sum(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings([Finding("ok", "Python", "3.11"), Finding("note", "torch", "not installed", "pip install torch")])
    assert capsys.readouterr().out.endswith("-> pip install torch\n\nReady to inspect.\n")
    print_findings([Finding("problem", "home", "cannot be written", "choose another")])
    assert capsys.readouterr().out.endswith("-> choose another\n\n1 problem\n")


def test_text_that_the_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_ = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_, encoding="latin-1"))
    print_passages([replace(PASSAGE, title="划痕 für Ä")])
    sys.stdout.flush()
    assert rb"\u5212\u75d5 f\xfcr".replace(rb"\xfc", b"\xfc") in bytes_.getvalue()


def test_progress_is_silent_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress.watch(Event(0, "intake", 0.1, 0.1, {}))
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("narrow")
def test_progress_names_what_was_asked_for_on_stderr_alone(capsys: pytest.CaptureFixture[str]) -> None:
    call = {"name": "zoom \x1b[2J", "args": {}}
    with Progress() as progress:
        progress.watch(Event(2, "plan", 0.1, 0.1, {"messages": [{"tool_calls": [call, call]}]}))
    out, err = capsys.readouterr()
    assert out == ""
    assert r"step 3: zoom \x1b[2J  0 s" in err
