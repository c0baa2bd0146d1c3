"""The text of a passage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from knowledge_base.entry import read_entry
from knowledge_base.passage import MOST_CHARACTERS, passage

WriteEntry = Callable[..., Path]


def test_a_short_entry_is_told_in_full(tmp_path: Path, write_entry: WriteEntry) -> None:
    entry = read_entry(write_entry(tmp_path, "scratch", en="Scratch", zh="划痕"))
    assert passage(entry, "en", "general", 0.5).text == (
        "How it looks: A thin bright line.\n"
        "Look-alikes: A hair lies on the surface.\n"
        "Causes: Hard contact; Grit on the conveyor\n"
        "Repair: Polish it"
    )
    assert passage(entry, "zh", "general", 0.5).text.splitlines()[0] == "外观:细长的亮线。"


def test_a_long_part_is_cut_between_words_and_leaves_the_others_whole(tmp_path: Path, write_entry: WriteEntry) -> None:
    looks = ("longword " * 400, "很长的一段描述,没有结尾" * 200)
    entry = read_entry(write_entry(tmp_path, "scratch", en="Scratch", zh="划痕", looks=looks))
    english, chinese = (passage(entry, language, "general", 0.5).text for language in ("en", "zh"))
    assert 850 < len(english) <= MOST_CHARACTERS
    assert 850 < len(chinese) <= MOST_CHARACTERS
    assert english.splitlines()[0].endswith(" longword…")
    assert english.splitlines()[1:] == [
        "Look-alikes: A hair lies on the surface.",
        "Causes: Hard contact; Grit on the conveyor",
        "Repair: Polish it",
    ]
