"""Misspelt queries are mended by what is known, and others are left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge_base.spelling import Speller

KNOWN = {"scratch", "delamination", "paint", "mounting", "划痕", "生锈", "细长", "亮线"}
SPELLER = Speller(KNOWN, ["划痕", "生锈", "连线", "余蜡"])


@pytest.mark.parametrize(
    ("query", "mended"),
    [
        ("scrach on the paintt", "scratch on the paint"),
        ("Delaminaton", "delamination"),
        ("scratches", "scratches"),
        ("a view of the mountain", "a view of the mountain"),
        ("scat", "scat"),
        ("划恒怎么返工", "划痕怎么返工"),
        ("钢板生绣的原因", "钢板生锈的原因"),
        ("细长亮线与拉丝方向", "细长亮线与拉丝方向"),
        ("划痕", "划痕"),
    ],
)
def test_only_unknown_words_that_are_nearly_known_change(query: str, mended: str) -> None:
    assert SPELLER.mended(query) == mended


@given(st.text(max_size=60))
def test_any_text_can_be_mended(text: str) -> None:
    once = SPELLER.mended(text)
    assert SPELLER.mended(once) == once
