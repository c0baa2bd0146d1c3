"""A folder of pictures: every one is counted, none is lost, and what is written opens safely."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result as Done
from playwright.sync_api import Browser
from typer.testing import CliRunner

from agent.__main__ import app
from agent.batch.loop import Found, inspect_folder, pictures_in, place_for
from agent.batch.page import render_summary
from agent.batch.progress import FolderProgress
from agent.batch.results import Batch, Result
from agent.batch.table import render_csv
from agent.trace import Run, RunError
from tools.image import ImageError

SCRIPT = "<script>window.ran=1</script>"
DEFECT = {"type": "scratch", "severity": "minor", "place": "upper left", "box": [10, 20, 200, 300.5]}


def run_cli(*arguments: object) -> Done:
    return CliRunner().invoke(app, [*map(str, arguments)])


def lines_of(place: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place / "results.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, parts: Path) -> Path:
    """A good part, a scratched one, one of another product, a broken file, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("mixed")
    shutil.copy(parts / "good_5.png", folder / "good.png")
    shutil.copy(parts / "scratched.png", folder / f"=划痕{SCRIPT.replace('/', '')}.png")
    shutil.copy(parts / "gasket.png", folder / "other.png")
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture at all")
    return folder


@pytest.fixture(scope="module")
def done(home: Path, mixed: Path, parts: Path) -> tuple[Done, Path]:
    """The command on that folder, and where its results are."""
    told = run_cli("--home", home, "inspect", mixed, "-r", parts / "good_1.png", "--json", "--fail-on-defect")
    return told, next((home / "batches").iterdir())


def test_every_picture_is_counted_and_a_bad_file_stops_nothing(done: tuple[Done, Path]) -> None:
    told, place = done
    assert told.exit_code == 3, told.output
    found = json.loads(told.stdout)
    assert found["counts"] == {"normal": 1, "defective": 1, "uncertain": 1, "failed": 1}
    assert (found["inspected"], found["yield"], found["skipped_files"]) == (4, 0.25, 1)
    assert found["needs_a_person"] == ["broken.png", "other.png"]
    lines = {line["file"]: line for line in lines_of(place)}
    assert [*lines] == sorted(lines)
    assert lines["broken.png"]["state"] == "failed"
    assert "not a picture" in lines["broken.png"]["error"]
    assert lines["broken.png"]["verdict"] is None
    defects = next(line for line in lines.values() if line["state"] == "defective")["defects"]
    assert defects
    assert defects[0].keys() == DEFECT.keys()
    assert set(found["files"]) == {"results", "table", "summary"}


def test_the_table_opens_in_a_spreadsheet_and_calculates_nothing(done: tuple[Done, Path]) -> None:
    raw = (done[1] / "results.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    assert [row["result"] for row in rows] == ["defective", "failed", "normal", "uncertain"]
    assert rows[0]["file"].startswith("'=划痕")
    assert rows[1]["defects"] == rows[1]["verdict"] == ""


def test_no_cell_begins_like_a_formula() -> None:
    texts = ["=1+1", " =1", "+1", "-1", "@x", "\t=1", "＝1", "a\n=1", "\r=1", "|x", "fine"]
    batch = Batch(Path("x"), len(texts), 0, tuple(Result(text, "failed", 0.0, error=text) for text in texts))
    rows = list(csv.reader(io.StringIO(render_csv(batch).decode("utf-8-sig"), newline="")))
    assert all(row[0][0] in "'af\\" for row in rows)
    assert rows[-1][0] == "fine"


def test_the_summary_shows_who_needs_a_person_first_and_runs_nothing(done: tuple[Done, Path], browser: Browser) -> None:
    for width in (1280, 390):
        page = browser.new_page(viewport={"width": width, "height": 900})
        asked: list[str] = []
        page.on("request", lambda request, to=asked: to.append(request.url))
        page.goto((done[1] / "summary.html").as_uri())
        assert [text.split()[0] for text in page.locator(".part strong").all_inner_texts()] == [
            "failed",
            "uncertain",
            "defective",
            "normal",
        ]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("window.ran") is None
        assert page.locator(".part img").count() == 3
        assert page.locator(".normal .thumb i").count() == 0
        assert page.locator(".defective .thumb i").count() >= 1
        assert "25.0 %" in page.inner_text(".tiles .quota")
        assert "divided by all 4 inspected pictures" in page.inner_text("main")
        assert {address.split(":")[0] for address in asked} <= {"file", "data"}
        page.close()


def test_the_types_of_defects_are_ranked_with_their_cumulative_share() -> None:
    types = ["dent", "scratch", "Scratch", "scratch", "crack"]
    found = [Result(t, "defective", 1.0, confidence=0.9, defects=[{**DEFECT, "type": t}]) for t in types]
    suspected = Result("u", "uncertain", 1.0, defects=[DEFECT])
    batch = Batch(Path("x"), 9, 0, (*found, suspected), stopped=True)
    assert batch.defects == [("scratch", 3, 0.6), ("crack", 1, 0.8), ("dent", 1, 1.0)]
    shown = render_summary(batch, "zh", {}, lambda type_: {"scratch": "划痕"}.get(type_, type_))
    assert "划痕" in shown
    assert "提前停止：9 张图像中已检 6 张" in shown
    assert batch.share("normal") == 0.0
    assert Batch(Path("x"), 9, 0, ()).share("normal") == 0.0


def test_no_text_changes_the_summary() -> None:
    def tags(text: str) -> int:
        defects = [{**DEFECT, "type": text, "place": text}]
        results = (Result(text, "defective", 1.0, text, "defective", 0.9, {}, "hold", defects, "submitted"),)
        shown = render_summary(
            Batch(Path(text), 1, 0, (*results, Result(text, "failed", 0.0, error=text))), "en", {"product": text}, str
        )
        assert SCRIPT not in shown
        return shown.count("<")

    assert tags(f"{SCRIPT}\"'><img src=x onerror=1>{{{{ 7 * 7 }}}}") == tags("plain")


class Quiet:
    """Watches and says nothing."""

    def begin(self, path: Path) -> None:
        pass

    def done(self, result: Result) -> None:
        pass


def test_errors_are_results_of_their_pictures(mixed: Path, tmp_path: Path) -> None:
    def inspect(path: Path) -> Run:
        raise ImageError(path, "bad", "mend it") if path.name == "good.png" else ZeroDivisionError("one\nline")

    batch = inspect_folder(pictures_in(mixed), inspect, tmp_path, Quiet(), (ImageError,))
    assert batch.counts["failed"] == len(batch.results) == 4
    assert batch.surprised
    told = {result.file: result.error for result in batch.results}
    assert told["good.png"].endswith("good.png: bad; mend it")
    assert told["other.png"] == "ZeroDivisionError: one line"
    assert [line["error"] for line in lines_of(tmp_path)] == [result.error for result in batch.results]


def test_an_interrupt_keeps_what_is_done(home: Path, mixed: Path, parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Path] = []

    def begin(self: FolderProgress, path: Path) -> None:
        begun.append(path)
        if len(begun) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(FolderProgress, "begin", begin)
    place = home / "stopped"
    told = run_cli("--home", home, "inspect", mixed, "-r", parts / "good_1.png", "--out", place)
    assert told.exit_code == 130
    assert "stopped after 2 of 4" in told.stdout
    assert len(lines_of(place)) == 2
    assert len((place / "results.csv").read_text(encoding="utf-8-sig").splitlines()) == 3
    assert "Stopped early: 2 of 4" in (place / "summary.html").read_text(encoding="utf-8")


def test_nothing_to_inspect_is_an_error_of_one_line(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no picture in this folder"):
        pictures_in(tmp_path)
    assert isinstance(run_cli("--home", home, "inspect", tmp_path).exception, ImageError)


def test_a_folder_where_nothing_works_exits_with_a_fault(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    told = run_cli("--home", home, "inspect", tmp_path, "--out", tmp_path / "out")
    assert told.exit_code == 1
    assert "yield 0.0 %" in told.stdout


def test_results_are_never_mixed_with_older_ones(tmp_path: Path) -> None:
    first, second = (place_for(tmp_path, None) for _ in range(2))
    assert first != second
    (first / "results.jsonl").touch()
    with pytest.raises(RunError, match=r"already holds results\.jsonl; choose another folder with --out"):
        place_for(tmp_path, first)
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be made"):
        place_for(tmp_path, tmp_path / "file" / "out")


def test_out_is_for_folders_only(parts: Path, tmp_path: Path) -> None:
    told = run_cli("inspect", parts / "good_1.png", "--out", tmp_path)
    assert told.exit_code == 2
    assert "flawlens report" in told.output


def test_a_run_without_a_valid_answer_is_no_pass(done: tuple[Done, Path], home: Path) -> None:
    from agent.batch.results import result_of
    from agent.trace import read_run

    line = next(line for line in lines_of(done[1]) if line["state"] == "normal")
    run = read_run(home / "runs", line["run_id"])
    assert run.diagnosis
    silent = replace(run, diagnosis={**run.diagnosis, "outcome": "turn_limit"})
    assert result_of(Path("x.png"), silent).state == "uncertain"
    assert result_of(Path("x.png"), silent).reason == "no valid answer: turn_limit"
    assert Found(Path("x"), [], 0).skipped == 0
