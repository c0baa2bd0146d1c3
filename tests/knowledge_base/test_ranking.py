"""What counts as an answer, and in which order."""

from __future__ import annotations

from knowledge_base.ranking import FLOOR, Match, off_topic, order


def match(cosine: float, weight: float = 0.0, share: float = 0.0, *, named: bool = False) -> Match:
    return Match(cosine, weight, share, "en", translated=False, named=named)


def test_likeness_without_a_shared_word_answers_only_when_it_is_great() -> None:
    assert match(0.85).relevance < FLOOR < match(0.92).relevance
    assert match(0.85).relevance < match(0.85, weight=6).relevance
    assert match(0.85, weight=9).relevance > FLOOR


def test_a_name_is_always_answered_and_comes_first() -> None:
    named, like = match(0.8, named=True), match(0.86, weight=9, share=0.2)
    assert named.relevance > FLOOR
    assert order({"like": like, "named": named}, None) == ["named", "like"]


def test_of_a_product_the_closest_of_nearly_equal_ones_comes_first() -> None:
    matches = {"general": match(0.9), "own": match(0.88), "far": match(0.8)}
    assert order(matches, {"general": 2, "own": 0, "far": 0}) == ["own", "general", "far"]


def test_a_price_is_answered_only_by_what_speaks_of_prices() -> None:
    assert off_topic("what does a spare seal cost", ["the seal is replaced every year"])
    assert off_topic("密封圈多少钱", ["每年更换密封圈"])
    assert not off_topic("what does a spare seal cost", ["the seal has a price of 3 euro"])
    assert not off_topic("leaking seal", ["the seal is replaced every year"])
