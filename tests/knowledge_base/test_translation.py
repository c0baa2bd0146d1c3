"""Queries in the other language, word by word."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge_base.entry import read_entry
from knowledge_base.translation import Translated, Translator


@pytest.fixture(scope="module")
def translator(some_entries: Path) -> Translator:
    return Translator([read_entry(path) for path in sorted(some_entries.glob("*.md"))])


def readings(found: Translated) -> list[set[str]]:
    return [{" ".join(reading) for reading in term} for term in found.terms]


def test_chinese_is_cut_into_words_and_every_reading_is_kept(translator: Translator) -> None:
    found = translator.translated("制动盘涂层 5 mm")
    assert found.language == "en"
    assert {"coating", "protective layer"} <= readings(found)[-3]
    assert readings(found)[-2:] == [{"5"}, {"mm"}]


def test_names_in_the_entries_go_before_the_dictionary(translator: Translator) -> None:
    assert translator.translated("饼干碎裂").text == "broken biscuit"
    assert translator.translated("a damaged thread").text == "螺纹损伤"


def test_an_english_word_that_is_in_no_dictionary_stays(translator: Translator) -> None:
    found = translator.translated("KP40 housing")
    assert found.language == "zh"
    assert readings(found)[0] == {"kp40"}


@given(st.text(max_size=60))
def test_any_text_can_be_translated(translator: Translator, text: str) -> None:
    found = translator.translated(text)
    assert all(term and all(reading for reading in term) for term in found.terms)
