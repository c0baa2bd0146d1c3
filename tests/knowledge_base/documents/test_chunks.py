"""How sections are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from knowledge_base.documents import Read, Section
from knowledge_base.documents.chunks import chunks_of, language_of, pieces, width
from knowledge_base.passage import MOST_CHARACTERS

WORDS = st.text(st.sampled_from("ab 划痕。.;\n"), max_size=4000)


@given(WORDS)
def test_nothing_is_lost_and_no_piece_is_too_wide(text: str) -> None:
    found = pieces(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(width(piece) <= MOST_CHARACTERS for piece in found)


def test_pieces_are_whole_sentences_of_about_equal_width() -> None:
    text = " ".join(f"Sentence number {number} says something about a part." for number in range(40))
    found = pieces(text)
    assert all(piece.endswith(".") for piece in found)
    assert max(map(width, found)) < 1.4 * min(map(width, found))


def test_a_chinese_piece_has_fewer_characters() -> None:
    found = pieces("密封面上的划痕超过五毫米时报废。" * 60)
    assert all(piece.endswith("。") for piece in found)
    assert max(map(len, found)) <= MOST_CHARACTERS / 2.5


def test_a_section_says_itself_what_it_is_about() -> None:
    sections = (Section("A", "One."), Section("B", "Two.", 3, "valve", "leak"))
    one, two = chunks_of(Read("", sections, {"product": "pump"}), "key-1", "folder/manual.pdf", "housing")
    assert (one.products, one.defect, one.place, one.heading) == (("pump",), "", "folder/manual.pdf", "manual › A")
    assert (two.products, two.defect, two.place, two.id) == (("valve",), "leak", "folder/manual.pdf, p. 3", "key-1-2")


def test_the_language_is_that_of_most_of_the_text() -> None:
    assert language_of("密封面 (sealing face) 划痕超过5 mm报废") == "zh"
    assert language_of("The word 划痕 means scratch.") == "en"
