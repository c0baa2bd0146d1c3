"""The page of a run: opens from disk, asks for nothing, runs nothing, and shows what it was given."""

from __future__ import annotations

import base64
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from agent.diagnosis import Inspection
from agent.inspector import Inspector
from agent.page import render_page, write_page
from agent.trace import Run, RunError, Trace, read_run
from tests.agent.conftest import ScriptedPlanner, says, submits

SCRIPT = "<script>window.ran=1</script><img src=x onerror='window.ran=1'>\"' onload=window.ran=1 \x1b[2J" + "w" * 300
FREE_TEXT = {
    "finding",
    "title",
    "text",
    "source",
    "product",
    "question",
    "image",
    "summary",
    "against",
    "error",
    "query",
}
FREE_TEXT |= {
    "appearance",
    "effect",
    "cause",
    "place",
    "planner",
    "content",
    "notes",
    "degraded",
    "actions",
    "prevention",
}
DEFECT = {
    "type": "scratch",
    "box": [400, 300, 700, 600],
    "place": "centre",
    "appearance": "thin bright line",
    "severity": "minor",
    "effect": "looks bad",
    "cause": "handling",
    "evidence": ["E1", "E4"],
}
REPAIR = {"disposition": "rework", "actions": ["Polish it [scratch]"], "knowledge": ["scratch"]}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, parts: Path) -> Run:
    """A real inspection with a map, a comparison, knowledge, a zoom, a refused call and one defect."""
    answer = submits("defective", 0.99, defects=[DEFECT], repair=REPAIR, against="the light [E2]")
    replies = [
        says(
            "closer",
            ("zoom", {"image": "part", "box": DEFECT["box"]}),
            ("zoom", {"image": "moon", "box": [0, 0, 9, 9]}),
        )
    ]
    replies += [says("look it up", ("search_knowledge", {"query": "scratch"})), answer]
    inspector = Inspector(tmp_path_factory.mktemp("home"), ScriptedPlanner(replies=replies), "scripted")
    references = (parts / "good_1.png", parts / "good_2.png")
    return inspector.inspect(Inspection(parts / "scratched.png", references, "bracket", "Is it whole?"))


def opened(browser: Browser, path: Path, width: int = 1280) -> tuple[Page, list[str]]:
    """The page in a fresh tab, with the addresses that it asks for."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    return page, asked


def poisoned(value: Any, key: str = "") -> Any:
    """A copy in which every free text ends with SCRIPT."""
    if isinstance(value, dict):
        return {name: poisoned(item, name) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [poisoned(item, key) for item in value]
    return value + SCRIPT if isinstance(value, str) and key in FREE_TEXT else value


def hostile(run: Run) -> Run:
    """The run with SCRIPT in every free text."""
    events = tuple(replace(event, update=poisoned(event.update)) for event in run.events)
    changed = {name: poisoned(getattr(run, name)) for name in ("diagnosis", "inspection", "setup")}
    return replace(run, events=events, **changed)


def test_a_real_inspection_is_shown_whole(run: Run, browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "run.html"
    assert write_page(run, path) == path
    page, asked = opened(browser, path)
    shown = page.inner_text("main")
    for words in ("scratched.png", "bracket", "Is it whole?", "scratch", "the light E2", "Polish it scratch", "rework"):
        assert words in shown
    for item in (run.diagnosis or {})["evidence"]:
        assert page.locator(f"article:has-text('{item['id']} {item['tool']}')").count() == 1
    assert page.locator(".steps > li").count() == len(run.events)
    assert "there is no image 'moon'" in page.inner_text(".steps")
    assert page.evaluate("[...document.images].every(i => !i.src || i.complete && (i.naturalWidth || !i.offsetParent))")
    assert "missing" not in shown
    assert {address.split(":")[0] for address in asked} <= {"file", "data"}


def test_text_from_outside_is_shown_and_never_runs(run: Run, browser: Browser, tmp_path: Path) -> None:
    page, asked = opened(browser, write_page(hostile(run), tmp_path / "run.html"))
    page.wait_for_timeout(100)
    assert page.evaluate("window.ran") is None
    assert page.locator("script, [onerror], [onload]").count() == 0
    for place in ("header", ".stack", ".card .found", ".steps", "details"):
        assert r"<script>window.ran=1</script>" in (page.locator(place).first.text_content() or "")
    assert r"\x1b[2J" in page.inner_text("header")
    assert {address.split(":")[0] for address in asked} <= {"file", "data"}


def test_the_policy_of_the_page_forbids_scripts_and_network(run: Run, browser: Browser, tmp_path: Path) -> None:
    path = write_page(run, tmp_path / "run.html")
    hole = "<script>window.ran=1</script><img src='http://127.0.0.1:9/x.png'>"
    path.write_text(
        path.read_text(encoding="utf-8").replace('<main id="main"', hole + '<main id="main"'), encoding="utf-8"
    )
    page = browser.new_page()
    refused: list[str | None] = []
    page.on("requestfailed", lambda request: refused.append(request.failure))
    page.goto(path.as_uri())
    assert page.evaluate("window.ran") is None
    assert refused == ["csp"]


def test_the_switch_shows_the_part_its_boxes_or_the_heat_map(run: Run, browser: Browser, tmp_path: Path) -> None:
    page, _ = opened(browser, write_page(run, tmp_path / "run.html"))
    part, mark, heat = page.locator(".stage .part"), page.locator(".mark"), page.get_by_alt_text("Heat map E1")
    assert (part.is_visible(), mark.is_visible(), heat.is_visible()) == (True, True, False)
    page.get_by_text("Heat map E1", exact=True).click()
    assert (part.is_visible(), mark.is_visible(), heat.is_visible()) == (False, False, True)
    page.get_by_text("Part", exact=True).click()
    assert (part.is_visible(), mark.is_visible(), heat.is_visible()) == (True, False, False)
    page.keyboard.press("ArrowRight")
    assert mark.is_visible()
    outline = mark.bounding_box()
    picture = part.bounding_box()
    assert outline
    assert picture
    assert outline["x"] - picture["x"] == pytest.approx(0.4 * picture["width"], abs=2)
    assert outline["height"] == pytest.approx(0.3 * picture["height"], abs=2)


def test_links_go_from_a_defect_to_its_evidence_and_back(run: Run, browser: Browser, tmp_path: Path) -> None:
    page, _ = opened(browser, write_page(run, tmp_path / "run.html"))
    page.locator("#defect-1 a", has_text="E4").click()
    card = page.locator(":target")
    assert card.locator("h3").inner_text().startswith("E4")
    card.get_by_text("defect 1: scratch").click()
    assert page.locator(":target").get_attribute("id") == "defect-1"
    page.locator("li a", has_text="scratch").first.click()
    assert page.locator(":target h3").inner_text().endswith("scratch")
    targets = page.eval_on_selector_all(
        "a[href^='#']", "links => links.map(link => link.getAttribute('href').slice(1))"
    )
    assert all(page.evaluate("id => !!document.getElementById(id)", target) for target in targets)


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_runs_over_the_edge(run: Run, browser: Browser, tmp_path: Path, width: int) -> None:
    page, _ = opened(browser, write_page(hostile(run), tmp_path / "run.html"), width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_an_unfinished_run_has_a_page(run: Run, tmp_path: Path, steps: int) -> None:
    trace = Trace.new(tmp_path / "runs", run.inspection, run.setup)
    for event in run.events[:steps]:
        trace.step(event.node, event.update)
    shown = render_page(read_run(trace.folder.parent, trace.id))
    assert "No verdict: another process is working on it" in shown
    assert shown.count('<div class="bar"') == steps
    trace.fail(RuntimeError("out of <memory>"))
    assert "RuntimeError: out of &lt;memory&gt;" in render_page(read_run(trace.folder.parent, trace.id))


def test_only_pictures_of_the_run_get_onto_its_page(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    shutil.copytree(run.folder, folder)
    (tmp_path / "secret.jpg").write_bytes(b"a secret outside of the run")
    (folder / "pictures" / "notes.txt").write_bytes(b"no picture at all")
    names = ["../../../secret.jpg", str(tmp_path / "secret.jpg"), "notes.txt", "..", ""]
    assert run.diagnosis
    evidence = [{**run.diagnosis["evidence"][0], "files": names}]
    shown = render_page(replace(run, folder=folder, diagnosis={**run.diagnosis, "evidence": evidence}))
    assert base64.b64encode(b"a secret outside of the run").decode() not in shown
    assert base64.b64encode(b"no picture at all").decode() not in shown
    assert "secret.jpg is missing" in shown


def test_a_page_that_cannot_be_written_leaves_nothing_behind(run: Run, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none" / "run.html"):
        with pytest.raises(RunError, match=r"cannot be written .*; choose another file with --out"):
            write_page(run, path)
    assert not list(tmp_path.parent.glob(".*.partial"))


class Tags(HTMLParser):
    """The tags of a page, in order, without the links that ids in brackets turn into."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a":
            self.found.append((tag, [name for name, _ in attrs]))


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=40))
def test_no_text_changes_the_structure_of_the_page(run: Run, text: str) -> None:
    def tags(text: str) -> list[tuple[str, list[str]]]:
        told = {"against": f"x{text}", "image": f"x{text}", "question": f"x{text}"}
        diagnosis = {**(run.diagnosis or {}), **told}
        shown = replace(run, folder=Path("none"), diagnosis=diagnosis, inspection={**run.inspection, **told})
        return Tags(render_page(shown)).found

    assert tags(text) == tags("plain")
