"""What each kind of file says."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from knowledge_base.documents import Section
from knowledge_base.documents.reading import read_document
from knowledge_base.entry import KnowledgeError


def test_markdown_keeps_its_headings_and_front_matter(plant: Path) -> None:
    read = read_document(plant / "pump.md")
    assert read.title == "Pump housing"
    assert read.about["product"] == "pump"
    assert [section.heading for section in read.sections] == ["", "Leak test", "Leak test › Limit"]
    assert "# no heading" in read.sections[1].text
    assert read.sections[2].text == "At most 2 ml a minute."


def test_text_of_older_chinese_systems_is_read(plant: Path) -> None:
    assert read_document(plant / "阳极氧化.txt").sections[0].text.startswith("阳极氧化槽的温度")


def test_a_table_tells_product_and_defect_of_each_row(plant: Path) -> None:
    first, second = read_document(plant / "defects.csv").sections
    assert first == Section("麻点", "产品: 轴承\n缺陷: 麻点\n外观: 滚道上的小坑\n处置: 报废", None, "轴承", "麻点")
    assert second.defect == "拖痕"
    rows = read_document(plant / "line 2" / "limits.xlsx").sections
    assert [(row.product, row.defect, row.text.splitlines()[-1]) for row in rows] == [
        ("brake disc", "run-out", "limit mm: 0.05"),
        ("brake disc", "hot spot", "limit mm: 8"),
    ]


def test_a_pdf_keeps_its_pages(plant: Path) -> None:
    first, second = read_document(plant / "rework.pdf").sections
    assert (first.page, first.text) == (1, "密封面划痕超过五毫米报废。")
    assert (second.page, second.text) == (2, "Second page: polish with grit 400.")


def test_word_keeps_headings_and_tables(plant: Path) -> None:
    first, second = read_document(plant / "line 2" / "welding.docx").sections
    assert (first.heading, first.text) == ("Welding criteria", "Porosity under 0.3 mm is accepted.")
    assert second.heading == "Welding criteria › Undercut"
    assert second.text.endswith("second pass.\ngas | argon")


def test_mmads_domain_knowledge_tells_the_object(data: Path) -> None:
    read = read_document(data / "mmad" / "domain_knowledge.json")
    assert len({section.product for section in read.sections}) == 38
    assert "MVTec/zipper › split_teeth" in {section.heading for section in read.sections}


def test_what_hides_or_acts_on_a_terminal_is_taken_out(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("ab\u202ec\u200bd \x1b[31mred\n\n\n\n\nend", "utf-8")
    assert read_document(path).sections[0].text == "abcd [31mred\n\nend"


def locked(path: Path, write_pdf: Callable[..., Path]) -> Path:
    return write_pdf(path / "locked.pdf", ["secret"], password="x")


def scan(path: Path, write_pdf: Callable[..., Path]) -> Path:
    return write_pdf(path / "scan.pdf", [""])


def bomb(path: Path, write_pdf: Callable[..., Path]) -> Path:
    with zipfile.ZipFile(path / "bomb.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(6):
            archive.writestr(f"{number}.xml", b"\0" * 100 * 2**20)
    return path / "bomb.xlsx"


def written(name: str, content: bytes) -> Callable[[Path, Callable[..., Path]], Path]:
    def write(path: Path, write_pdf: Callable[..., Path]) -> Path:
        (path / name).write_bytes(content)
        return path / name

    return write


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (locked, "is locked by a password"),
        (scan, "has no text in it"),
        (bomb, "unpacks to more than"),
        (written("x.pdf", b"%PDF-1.7 broken"), "is not a readable PDF"),
        (written("x.docx", b"PK\x03\x04 broken"), "cannot be opened"),
        (written("x.xlsx", b"no archive"), "cannot be opened"),
        (written("x.json", b'{"a": 1}'), "is not MMAD's domain_knowledge.json"),
        (written("x.json", b"[" * 100_000), "is not MMAD's domain_knowledge.json"),
        (written("x.csv", b"header,only\n"), "has no text in it"),
        (written("x.txt", b"\xff\xff\xff"), "is neither UTF-8 nor GB 18030"),
        (written("x.exe", b"MZ"), "is of a kind that is not read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_cannot_be_read_is_told_in_one_line(
    make: Callable[[Path, Callable[..., Path]], Path], cause: str, tmp_path: Path, write_pdf: Callable[..., Path]
) -> None:
    path = make(tmp_path, write_pdf)
    with pytest.raises(KnowledgeError, match=cause) as error:
        read_document(path)
    assert "\n" not in str(error.value)


def test_office_files_of_a_wrong_inside_are_told_too(tmp_path: Path) -> None:
    for name in ("x.docx", "x.xlsx"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("hello.txt", "hello")
        with pytest.raises(KnowledgeError, match="is not a"):
            read_document(tmp_path / name)
