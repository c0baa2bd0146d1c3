"""What a report says of real runs, in each format and both languages."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pypdfium2
import pytest
from markdown_it import MarkdownIt
from PIL import Image
from playwright.sync_api import Browser
from typer.testing import CliRunner

from agent.__main__ import app
from agent.diagnosis import Language
from agent.feedback import remember
from agent.report.pictures import drawn
from agent.report.reading import report_of
from agent.report.sheet import sheet_of
from agent.report.writing import Format, read_report, render, write_report
from agent.trace import Run, RunError
from tests.agent.report.conftest import CHINESE, ENGLISH, SCRATCH, uncertain
from tests.agent.test_page import SCRIPT, Tags, hostile
from tools.cases.store import Cases


def text_of(run: Run, format_: Format, language: Language = "en") -> str:
    return render(report_of(run, [SCRATCH], None), format_, language, "report")[""].decode()


def pages(run: Run, language: Language = "en") -> str:
    """The text of all pages of the PDF, on one line."""
    document = pypdfium2.PdfDocument(render(report_of(run, [SCRATCH], None), "pdf", language, "report")[""])
    return " ".join(" ".join(page.get_textpage().get_text_range() for page in document).split())


def table_of(run: Run, language: Language = "en") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text_of(run, "json", language))
    return found


def test_a_defective_part_is_reported_whole(defective: Run, browser: Browser, tmp_path: Path) -> None:
    path = write_report(defective, "html", None, tmp_path / "report.html")
    page = browser.new_page(viewport={"width": 390, "height": 800})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    shown = page.inner_text("main")
    for words in (
        "Defective",
        "scratched.png",
        "upper centre",
        "minor",
        "rework",
        ENGLISH.causes[0],
        "Scratch [scratch]",
    ):
        assert words in shown
    for words in ("general practice", "Inspector", "above the normal range", "length", defective.id, "SHA-256"):
        assert words in shown
    assert page.locator("figure img").count() == 2
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert {address.split(":")[0] for address in asked} <= {"file", "data"}
    page.close()


@pytest.mark.parametrize("format_", ["html", "md", "pdf"])
def test_a_report_in_chinese_takes_the_sentences_of_the_entry(defective: Run, format_: Format) -> None:
    shown = pages(defective, "zh") if format_ == "pdf" else text_of(defective, format_, "zh")
    shown = re.sub(r"\s", "", shown)
    for words in ("有缺陷", "划痕", "轻微", "上部中间", "返工", CHINESE.effect[:12], CHINESE.causes[0][:12]):
        assert words in shown
    assert CHINESE.repair[0][:12] in shown
    assert "部分句子保留其原文语言" in shown


def test_a_normal_part_has_its_plain_picture_and_nothing_highlighted(normal: Run, defective: Run) -> None:
    report = report_of(normal, [], None)
    assert (report.state, report.heat, report.part and report.part.boxes) == ("normal", None, ())
    assert "nothing above the normal range" in text_of(normal, "html")
    assert "no region is highlighted" in text_of(normal, "html")
    assert table_of(normal)["passed"] is True
    assert defective.diagnosis
    # Even where evidence was overruled, and says so.
    overruled = replace(defective, diagnosis={**defective.diagnosis, "verdict": "normal", "defects": []})
    report = report_of(overruled, [], None)
    assert (report.heat, report.part and report.part.boxes) == (None, ())
    assert "nothing above the normal range." not in text_of(overruled, "html")
    assert "E1" in sheet_of(report, "en").statement


@pytest.mark.parametrize("language", get_args(Language))
def test_what_is_open_never_looks_like_a_pass(defective: Run, silent: Run, language: Language) -> None:
    words = {"en": "not passed", "zh": "未放行"}[language]
    for run, state in ((uncertain(defective), "uncertain"), (silent, "no_answer")):
        sheet = sheet_of(report_of(run, [], None), language)
        assert sheet.kind == state
        assert words in sheet.banner
        assert words in pages(run, language) if run is silent else True
        assert words in text_of(run, "md", language)
        assert f'<main class="{state}">' in text_of(run, "html", language)
        assert table_of(run)["passed"] is False
        assert "nothing above" not in sheet.statement
    labels = [label for label, _ in sheet_of(report_of(uncertain(defective), [], None), "en").head.rows]
    assert "confidence in the verdict" not in labels


def test_an_answered_question_is_no_inspection(normal: Run) -> None:
    assert normal.diagnosis
    told = {"outcome": "answered", "verdict": "uncertain", "answer": "four holes"}
    run = replace(normal, diagnosis={**normal.diagnosis, **told})
    assert table_of(run)["disposition"] is None
    shown = text_of(run, "html")
    assert "Not inspected for defects" in shown
    assert "four holes" in shown


def test_boxes_lie_where_the_defects_are(defective: Run, tmp_path: Path) -> None:
    report = report_of(defective, [], None)
    jpeg = drawn(report.part)
    assert jpeg
    picture = Image.open(io.BytesIO(jpeg))
    assert picture.size == (1000, 1000)
    red = [(x, y) for x in range(0, 1000, 2) for y in range(0, 1000, 2) if _is_red(picture.getpixel((x, y)))]
    assert min(x for x, _ in red) == pytest.approx(434, abs=6)
    assert max(x for x, _ in red) == pytest.approx(536, abs=6)
    assert max(y for _, y in red) == pytest.approx(226, abs=6)
    assert drawn(replace(report.part, file=tmp_path / "gone.jpg") if report.part else None) is None


def _is_red(pixel: Any) -> bool:
    red, green, blue = pixel
    return bool(red > 170 and green < 60 and blue < 70)


def test_a_missing_picture_is_named(defective: Run) -> None:
    lost = replace(defective, events=())
    for format_ in ("html", "md"):
        assert "The picture is missing" in text_of(lost, format_)
    assert "The picture is missing" in pages(lost)


def test_the_operators_word_is_in_the_report(defective: Run, home: Path) -> None:
    remember(Cases(home / "cases"), defective, "normal", "dust", "wiped off <b>")
    try:
        report = read_report(defective)
        assert json.loads(render(report, "json", "en", "")[""])["operator"]["outcome"] == "wrong alarm"
        assert "wiped off &lt;b&gt;" in render(report, "html", "en", "")[""].decode()
        assert "误报" in render(report, "md", "zh", "")[""].decode()
    finally:
        Cases(home / "cases").forget(defective.id)


def test_json_keeps_its_keys_and_codes_in_both_languages(defective: Run) -> None:
    english, chinese = table_of(defective), table_of(defective, "zh")
    assert english.keys() == chinese.keys()
    assert english["format"] == "flawlens-report-1"
    assert english["state"] == chinese["state"] == "defective"
    assert english["actions"][0] == {"text": ENGLISH.repair[0], "source": "scratch"}
    assert english["actions"][1]["source"] == "general practice"
    assert chinese["actions"][0]["text"] == CHINESE.repair[0]
    assert chinese["sources"] == [{"id": "scratch", "title": SCRATCH.title["zh"], "source": SCRATCH.source}]
    assert chinese["untranslated"] is True
    (defect,) = english["defects"]
    assert {"length_px", "width_px"} <= {size["measure"] for size in defect["sizes"]}
    assert (defective.folder / english["pictures"]["heat_map"]).is_file()


def test_limits_are_told_in_both_languages(defective: Run) -> None:
    entry = SCRATCH.model_validate(
        {
            **SCRATCH.model_dump(),
            "sections": {k: {**v.model_dump(), **_bullets(v)} for k, v in SCRATCH.sections.items()},
            "limits": [{"measure": "length_mm", "over": 5, "severity": "major", "disposition": "scrap"}],
        }
    )
    assert defective.diagnosis
    limit = {"defect": 1, "knowledge": "scratch", "limit": entry.limits[0].words()}
    criterion = {**limit, "measured": 7.25, "evidence": "E4", "exceeded": True}
    run = replace(defective, diagnosis={**defective.diagnosis, "criteria": [criterion]})
    grids = {
        language: str(sheet_of(report_of(run, [entry], None), language).sections) for language in get_args(Language)
    }
    assert "length over 5 mm: major, scrap" in grids["en"]
    assert "长度超过 5 mm：严重，报废" in grids["zh"]
    assert "7.25 [E4]" in grids["zh"]


def _bullets(sections: Any) -> dict[str, str]:
    """The lists of an entry as its file writes them."""
    names = ("causes", "repair", "prevention")
    return {name: "\n".join(f"- {line}" for line in getattr(sections, name)) for name in names}


def test_no_text_from_outside_runs_or_changes_the_page(defective: Run, browser: Browser, tmp_path: Path) -> None:
    poisoned = hostile(defective)
    path = tmp_path / "report.html"
    path.write_text(text_of(poisoned, "html"), encoding="utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(path.as_uri())
    assert page.evaluate("window.ran") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("script").count() == 0
    assert "<script>window.ran=1</script>" in page.inner_text("main")
    assert "\x1b" not in path.read_text(encoding="utf-8")
    page.close()
    changed = _flat(text_of(_with(defective, f"x{SCRIPT}"), "html"))
    assert changed == _flat(text_of(_with(defective, "plain"), "html"))


def _flat(page: str) -> list[Any]:
    return Tags(page).found


def _with(run: Run, text: str) -> Run:
    assert run.diagnosis
    return replace(run, diagnosis={**run.diagnosis, "against": text, "image": text, "summary": text})


@pytest.mark.parametrize(
    "text", ["<b>&amp; bold</b> <para>", "a" * 5000, "多" * 2500, "☃ Ω ≤ ж 한 😀 \x00", "x & y < z"]
)
def test_any_text_is_printed_in_the_pdf(defective: Run, text: str) -> None:
    assert defective.diagnosis
    (defect,) = defective.diagnosis["defects"]
    evidence = [{**item, "finding": text} for item in defective.diagnosis["evidence"]]
    defects = [{**defect, "type": text[:90], "effect": text}]
    told = {"summary": text, "image": text[:300], "evidence": evidence, "defects": defects}
    run = replace(defective, diagnosis={**defective.diagnosis, **told})
    shown = pages(run).replace(" ", "")
    assert text[:3].replace(" ", "") in shown
    if text.startswith("<b>"):
        assert "<b>&amp;bold</b><para>" in shown
    if text.startswith("☃"):
        assert "ж" in shown
        assert "\\U0001f600" in shown


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script> & <img src=x onerror=1>",
        "`code` | cell | **bold** _em_ [link](javascript:alert(1)) ![x](y)",
        "# heading",
        "1. one\n2. two\n\n- x\n\n    code\n---\n===",
        "> quote ~~gone~~ https://evil.example www.evil.example a@b.c \\| $x$",
    ],
)
def test_no_text_becomes_markdown(defective: Run, text: str) -> None:
    reader = MarkdownIt("gfm-like", {"html": True, "linkify": False})
    rendered = reader.render(text_of(_with(defective, text), "md"))
    assert Tags(rendered).found == Tags(reader.render(text_of(_with(defective, "plain"), "md"))).found
    assert "https://evil" not in text_of(_with(defective, text), "md")


def test_pictures_of_markdown_lie_beside_it(defective: Run, tmp_path: Path) -> None:
    path = write_report(defective, "md", "en", tmp_path / "part 7.md")
    names = re.findall(r"\]\((.*?)\)", path.read_text(encoding="utf-8"))
    assert names == ["part%207-1.jpg", "part%207-2.jpg"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["part 7-1.jpg", "part 7-2.jpg", "part 7.md"]


def test_a_run_without_a_diagnosis_is_refused_in_one_line(defective: Run, tmp_path: Path) -> None:
    for status, remedy in (("failed", "inspect the part again"), ("stopped", "chat --resume"), ("running", "wait")):
        with pytest.raises(RunError, match=rf"no diagnosis to report \({status}\); .*{remedy}"):
            write_report(replace(defective, status=status, diagnosis=None), "html", None, tmp_path / "x.html")
    with pytest.raises(RunError, match=r"cannot be written .*; choose another file with --out"):
        write_report(defective, "json", None, tmp_path / "none" / "x.json")


def test_the_command_writes_into_the_runs_folder(defective: Run, home: Path) -> None:
    done = CliRunner().invoke(app, ["report", defective.id, "--format", "json", "--home", str(home)])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(defective.folder / "report.json")
    assert json.loads((defective.folder / "report.json").read_text(encoding="utf-8"))["language"] == "en"


def test_the_knowledge_of_the_home_is_cited(defective: Run) -> None:
    report = read_report(defective)
    assert [source.id for source in report.sources] == ["scratch"]
    assert report.sources[0].title.said("zh") == "划痕"
