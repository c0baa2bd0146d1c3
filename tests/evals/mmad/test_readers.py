"""Reading a reply: the benchmark's way with its faults, and the strict way without a guess."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.mmad.readers import benchmark_reader, strict_reader

FOUR = {"A": "Foggy appearance.", "B": "Color fading.", "C": "Broken large.", "D": "Broken."}
YES_NO = {"A": "Yes.", "B": "No."}
NO_YES = {"A": "No.", "B": "Yes."}


@pytest.mark.parametrize(
    ("reply", "options", "letter"),
    [
        ("The answer is (C). A chip is missing.", FOUR, "C"),
        ("B. Yes.", NO_YES, "B"),
        ("There is no defect", YES_NO, "B"),
        ("There is no defect", NO_YES, "A"),
        ("I am not sure", YES_NO, None),
        ("answer: b", FOUR, "B"),
        ("C", FOUR, "C"),
        ("(c)", FOUR, "C"),
        ("**Answer: D**", FOUR, "D"),
        ("1. Answer: B.", FOUR, "B"),
        ("Option A.", FOUR, "A"),
        ("A: Foggy appearance.", FOUR, "A"),
        ("The answer is A or B.", FOUR, None),
        ("The answer is B. No, the answer is C.", FOUR, None),
        ("The answer is E.", FOUR, None),
        ("A chip is missing at the rim.", FOUR, None),
        ("Broken large.", FOUR, "C"),
        ("It is broken large, near the rim.", FOUR, "C"),
        ("It is broken.", FOUR, "D"),
        ("It is not broken.", FOUR, None),
        ("Yes, there is a scratch.", NO_YES, "B"),
        ("No visible defects were found.", YES_NO, "B"),
        ("The part is free of damage.", YES_NO, "B"),
        ("There is a defect at the neck.", YES_NO, "A"),
        ("There might be a defect.", YES_NO, None),
        ("no opinion", YES_NO, None),
        ("Sorry, I cannot assist.", YES_NO, None),
        ("", YES_NO, None),
    ],
)
def test_the_strict_reader_takes_what_is_stated_and_nothing_else(
    reply: str, options: dict[str, str], letter: str | None
) -> None:
    assert strict_reader(reply, options) == letter


def test_the_benchmark_reader_has_the_faults_of_the_published_one() -> None:
    assert benchmark_reader("The answer is (C). A chip is missing.", FOUR) == "A"
    assert benchmark_reader("There is no defect in the image", YES_NO) == "A"
    assert benchmark_reader("answer: b", FOUR) in FOUR
    assert benchmark_reader("A then B then D", FOUR) == "D"


@given(st.text(max_size=80))
def test_no_reply_breaks_a_reader(reply: str) -> None:
    assert strict_reader(reply, FOUR) in {*FOUR, None}
    assert benchmark_reader(reply, FOUR) in {*FOUR, "E"}


@given(st.sampled_from("ABCD"), st.sampled_from(["{}", "({})", "{}.", "Answer: {}", "The answer is {}.", "Option {}"]))
def test_every_plain_way_of_naming_a_letter_is_read(letter: str, form: str) -> None:
    assert strict_reader(form.format(letter), FOUR) == letter
    assert benchmark_reader(form.format(letter), FOUR) == letter
