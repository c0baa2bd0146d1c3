"""The viewer in Chromium, as an engineer uses it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from agent.diagnosis import Inspection
from agent.inspector import Inspector
from agent.trace import Trace
from tests.agent.conftest import ScriptedPlanner, submits
from tests.agent.viewer.conftest import Viewer

WIDTHS = (1280, 390)


@pytest.fixture(params=WIDTHS)
def window(browser: Browser, viewer: Viewer, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page that fails a test when it asks another host or logs an error."""
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith((viewer.url, "data:")) else faults.append(asked.url))
    yield page
    assert page.evaluate("window.hacked") is None
    page.close()
    assert faults == []


def test_from_the_list_to_the_evidence_and_back(viewer: Viewer, window: Page) -> None:
    window.goto(f"{viewer.url}/")
    assert window.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(window.locator(".run")).to_have_count(3)
    window.get_by_label("Search").fill("scratched")
    window.get_by_role("button", name="Show").click()
    expect(window.locator(".run")).to_have_count(2)
    window.get_by_label("Sort").select_option("oldest")
    window.get_by_role("button", name="Show").click()
    window.locator(".row").first.click()
    window.wait_for_url(f"**/runs/{viewer.ids['scratched']}")
    assert window.evaluate("document.documentElement.scrollWidth <= innerWidth")

    heat = window.get_by_alt_text(re.compile("Heat map E1"))
    expect(heat).to_be_hidden()
    window.get_by_text("Heat map E1", exact=True).click()
    expect(heat).to_be_visible()
    window.get_by_label("Heat", exact=True).fill("0")
    assert heat.evaluate("one => getComputedStyle(one).opacity") == "0"
    window.keyboard.press("Tab")
    window.keyboard.press("1")
    expect(heat).to_be_hidden()

    window.locator("#defect-1 a.id").first.click()
    card = window.locator(":target")
    expect(card).to_be_in_viewport()
    expect(card.locator("img")).to_be_visible()
    card.get_by_text("defect 1:").first.click()
    expect(window.locator("#defect-1")).to_be_in_viewport()


def test_two_runs_are_compared(viewer: Viewer, window: Page) -> None:
    window.goto(f"{viewer.url}/")
    for name in ("scratched", "again"):
        window.locator(f"input[value='{viewer.ids[name]}']").check()
    window.get_by_role("button", name="Compare two").click()
    expect(window.locator(".compare img")).to_have_count(2)
    expect(window.get_by_text("different parts")).to_have_count(0)
    assert "1" in window.locator("tr", has=window.get_by_role("rowheader", name="references", exact=True)).inner_text()
    assert window.evaluate("document.documentElement.scrollWidth <= innerWidth")
    window.goto(f"{viewer.url}/compare?run={viewer.ids['good']}&run={viewer.ids['again']}")
    expect(window.get_by_text("different parts")).to_be_visible()
    assert window.request.get(f"{viewer.url}/compare").status == 400


def test_a_run_on_another_page_of_the_list_is_compared(viewer: Viewer, window: Page) -> None:
    window.goto(f"{viewer.url}/runs/{viewer.ids['scratched']}")
    window.get_by_role("link", name="compare with").click()
    expect(window.get_by_role("status")).to_contain_text("scratched.png")
    window.get_by_label("Search").fill(viewer.ids["again"])
    window.get_by_role("button", name="Show").click()
    window.locator(f".run input[value='{viewer.ids['again']}']").check()
    window.get_by_role("button", name="Compare with it").click()
    expect(window.locator(".compare img")).to_have_count(2)
    window.goto(f"{viewer.url}/compare?run={viewer.ids['good']}")
    expect(window.get_by_role("status")).to_contain_text(viewer.ids["good"])


def test_a_call_leads_to_the_evidence_that_came_of_it(viewer: Viewer, window: Page) -> None:
    window.goto(f"{viewer.url}/runs/{viewer.ids['scratched']}")
    call = window.locator(".steps p", has=window.locator("code b", has_text="anomaly_map"))
    call.get_by_role("link", name="E1").click()
    expect(window.locator(":target h3")).to_contain_text("anomaly_map")
    expect(window.locator(".steps > li", has=window.get_by_text("survey", exact=True))).to_contain_text("%")


def test_the_picture_is_switched_by_keys_in_a_named_group(viewer: Viewer, window: Page) -> None:
    window.goto(f"{viewer.url}/runs/{viewer.ids['scratched']}")
    group = window.get_by_role("group", name="Picture of the part")
    expect(group.get_by_role("radio", checked=True)).to_have_accessible_name("Boxes")
    group.get_by_role("radio", name="Boxes").focus()
    window.keyboard.press("ArrowRight")
    expect(group.get_by_role("radio", checked=True)).to_have_accessible_name("Heat map E1")
    expect(window.get_by_alt_text("Heat map E1")).to_be_visible()


def test_what_cannot_be_shown_is_told_with_a_way_back(viewer: Viewer, window: Page) -> None:
    window.goto(f"{viewer.url}/?page=9")
    expect(window.locator(".run")).to_have_count(len(viewer.ids))
    for path in ("/runs/none", "/runs/none/mark", "/nowhere"):
        answer = window.request.get(f"{viewer.url}{path}")
        assert answer.status in (404, 405)
        assert "To the list of runs" in answer.text()


@pytest.mark.parametrize("missing", ["criteria", "exchanges", "usage", "answer", "choices"])
def test_a_run_of_an_older_version_is_shown(viewer: Viewer, window: Page, missing: str) -> None:
    id_ = "20200101-000000-00000a"
    folder = Path(shutil.copytree(viewer.home / "runs" / viewer.ids["scratched"], viewer.home / "runs" / id_))
    try:
        saved = json.loads((folder / "run.json").read_text())
        del saved["diagnosis"][missing]
        (folder / "run.json").write_text(json.dumps(saved))
        for path in (f"/runs/{id_}", f"/compare?run={id_}&run={viewer.ids['good']}"):
            assert window.request.get(f"{viewer.url}{path}").status == 200
    finally:
        shutil.rmtree(folder)


def test_a_run_is_marked_and_the_mark_forgotten(viewer: Viewer, window: Page) -> None:
    window.goto(f"{viewer.url}/runs/{viewer.ids['scratched']}")
    window.get_by_label("Note").fill("<script>window.hacked=1</script> ink")
    window.get_by_role("button", name="Wrong: the part is normal").click()
    expect(window.locator("main .marked")).to_have_text("wrong alarm")
    assert (viewer.home / "cases" / f"{viewer.ids['scratched']}.json").exists()
    window.goto(f"{viewer.url}/")
    expect(window.locator(".marked")).to_have_text("wrong alarm")
    window.goto(f"{viewer.url}/runs/{viewer.ids['scratched']}")
    window.get_by_role("button", name="Forget").click()
    expect(window.get_by_role("button", name="The verdict is right")).to_be_visible()
    expect(window.locator("main .marked")).to_have_count(0)
    assert not (viewer.home / "cases" / f"{viewer.ids['scratched']}.json").exists()


def test_text_from_models_and_names_is_shown_and_never_run(viewer: Viewer, window: Page, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
    part = tmp_path / "<img src=x onerror=window.hacked=1>.png"
    part.write_bytes((next((viewer.home / "runs" / viewer.ids["good"] / "pictures").glob("part*"))).read_bytes())
    said = submits(summary=hostile, against=f"{hostile} [E1]", answer="<a href=javascript:window.hacked=1>x</a>")
    planner = ScriptedPlanner(replies=[said])
    run = Inspector(viewer.home, planner, hostile).inspect(Inspection(part, (), hostile, hostile))
    try:
        for path in (
            f"/runs/{run.id}",
            "/",
            f"/compare?run={run.id}&run={viewer.ids['good']}",
            "/?words=%3Cimg+src%3Dx",
        ):
            window.goto(f"{viewer.url}{path}")
            assert "<img src=x onerror=window.hacked=1>" in window.locator("main").inner_text()
            assert window.locator("img[src=x], a[href^=javascript]").count() == 0
        window.goto(f"{viewer.url}/?words={hostile}&state={hostile}")
        assert window.locator("img[src=x]").count() == 0
    finally:
        shutil.rmtree(run.folder)


def test_keys(viewer: Viewer, window: Page) -> None:
    window.goto(f"{viewer.url}/")
    window.keyboard.press("?")
    expect(window.get_by_role("dialog")).to_be_visible()
    window.keyboard.press("Escape")
    window.keyboard.press("/")
    expect(window.get_by_label("Search")).to_be_focused()
    window.keyboard.type("j/x?")  # words, not keys
    expect(window.get_by_label("Search")).to_have_value("j/x?")
    window.keyboard.press("Escape")
    window.keyboard.press("j")
    window.keyboard.press("x")
    window.keyboard.press("j")
    window.keyboard.press("x")
    expect(window.locator(".run input:checked")).to_have_count(2)
    window.keyboard.press("k")
    window.keyboard.press("Enter")
    window.wait_for_url("**/runs/*")
    window.keyboard.press("]")
    window.wait_for_url(f"**/runs/{sorted(viewer.ids.values())[-2]}")
    window.keyboard.press("Escape")
    window.wait_for_url(f"{viewer.url}/")


def test_a_run_that_goes_on_is_followed(viewer: Viewer, window: Page) -> None:
    runs = viewer.home / "runs"
    done = json.loads((runs / viewer.ids["scratched"] / "run.json").read_text())
    trace = Trace.new(runs, done["inspection"], done["setup"])
    try:
        window.goto(f"{viewer.url}/runs/{trace.id}")
        expect(window.locator(".follow")).to_contain_text("0 steps")
        trace.step("plan", {"messages": []})
        expect(window.locator(".follow")).to_contain_text("1 step", timeout=8000)
        trace.finish(done["diagnosis"])
        expect(window.locator("h1")).to_have_text("Defective", timeout=8000)
        expect(window.locator(".follow")).to_have_text("finished after 1 step")
    finally:
        for path in (*trace.pictures.iterdir(), trace.pictures, *trace.folder.iterdir()):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        trace.folder.rmdir()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(viewer: Viewer, browser: Browser, scheme: str) -> None:
    context = browser.new_context(bypass_csp=True, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    pair = "&".join(f"run={viewer.ids[name]}" for name in ("scratched", "good"))
    for path in ("/", f"/runs/{viewer.ids['scratched']}", f"/runs/{viewer.ids['good']}", f"/compare?{pair}"):
        page.goto(f"{viewer.url}{path}")
        found = Axe().run(page).response["violations"]
        serious = [
            (one["id"], [node["html"] for node in one["nodes"]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], path
    context.close()
