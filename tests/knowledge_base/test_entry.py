"""Entry files: what is read from a good one, and what is said of a bad one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge_base.entry import MOST_BYTES, KnowledgeError, read_entry

WriteEntry = Callable[..., Path]


@pytest.fixture
def scratch(tmp_path: Path, write_entry: WriteEntry) -> Path:
    return write_entry(tmp_path, "scratch", en="Scratch", zh="划痕", products="[screw, cookie]")


def test_an_entry_is_read_in_both_languages(scratch: Path) -> None:
    entry = read_entry(scratch)
    assert (entry.id, entry.title, entry.products) == (
        "scratch",
        {"en": "Scratch", "zh": "划痕"},
        ("screw", "cookie"),
    )
    assert entry.sections["zh"].looks == "细长的亮线。"
    assert entry.sections["en"].causes == ("Hard contact.", "Grit on the conveyor")
    assert entry.sections["en"].prevention == ("Keep the line clean",)


BROKEN = {
    "no front matter": ("---\n", "", "front matter"),
    "an unknown severity": ("severity: minor", "severity: awful", "severity"),
    "an unknown disposition": ("disposition: rework", "disposition: burn", "disposition"),
    "a field of another name": ("source: our own", "sauce: our own", "source"),
    "a field too many": ("source: our own", "source: our own\ncolour: red", "colour"),
    "a number for a name": ("defect: scratch", "defect: 7", "defect"),
    "a title in one language": ("title: {en: Scratch, zh: 划痕}", "title: {en: Scratch}", "title"),
    "aliases in one language": ("aliases: {en: [], zh: []}", "aliases: {zh: []}", "aliases"),
    "another id": ("id: scratch", "id: scrape", "id is scrape"),
    "an id that leaves the folder": ("id: scratch", "id: ../scratch", "id"),
    "no Chinese": ("## 中文", "## Deutsch", "'## 中文'"),
    "a section of another name": ("### Effect", "### Consequences", "'### Effect'"),
    "an empty section": ("Looks bad.", "", "'### Effect'"),
    "a section twice": ("### Effect", "### Effect\nBad.\n\n### Effect", "'### Effect'"),
    "a section too many": ("## 中文", "### Notes\nNone.\n\n## 中文", "'### Notes'"),
    "text before the headings": ("## English", "Hello\n\n## English", "before"),
    "prose for a list": ("- Polish it", "Polish it", "sections.en.repair"),
    "an escape sequence": ("Looks bad.", "Looks \x1b[2Jbad.", "control characters"),
    "an escaped escape sequence": ("source: our own", 'source: "our\\e[2J"', "source"),
    "a title on two lines": ("zh: 划痕}", 'zh: "划\\n痕"}', "title.zh"),
    "YAML that does not parse": ("products: [", "products: [[", "YAML"),
    "YAML that makes objects": ("source: our own", "source: !!python/object/apply:os.getcwd []", "YAML"),
}


@pytest.mark.parametrize(("old", "new", "named"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_entry_is_refused_with_file_and_field(scratch: Path, old: str, new: str, named: str) -> None:
    text = scratch.read_text(encoding="utf-8")
    assert old in text
    scratch.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(KnowledgeError) as caught:
        read_entry(scratch)
    assert caught.value.path == scratch
    assert named in caught.value.cause
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_what_is_not_utf8_or_too_large_or_missing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.md").write_bytes("Fläche".encode("latin-1"))
    (tmp_path / "large.md").write_bytes(b"-" * (MOST_BYTES + 1))
    (tmp_path / "folder.md").mkdir()
    for name in ("latin.md", "large.md", "folder.md", "missing.md"):
        with pytest.raises(KnowledgeError, match=name):
            read_entry(tmp_path / name)


def test_a_file_name_cannot_write_on_the_terminal() -> None:
    error = KnowledgeError(Path("a\x1b[2Jb\nc.md"), "is odd", "rename it")
    assert str(error) == r"a\x1b[2Jb\nc.md: is odd; rename it"


def test_a_windows_file_is_read_like_any_other(scratch: Path) -> None:
    entry = read_entry(scratch)
    scratch.write_bytes(b"\xef\xbb\xbf" + scratch.read_bytes().replace(b"\n", b"\r\n"))
    assert read_entry(scratch) == entry


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200), st.text(max_size=200).map(lambda text: f"---\n{text}\n---\n".encode(errors="replace"))
    )
)
def test_any_other_content_is_a_knowledge_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.md"
        path.write_bytes(content)
        with pytest.raises(KnowledgeError):
            read_entry(path)
