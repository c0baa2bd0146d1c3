"""Mended spelling of a query: English words with a typing error, Chinese names in other characters of one sound."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import cached_property
from typing import Final

LEAST_LETTERS: Final = 5
LONG_WORD: Final = 9  # letters, from which on two of them may be wrong
LONGEST_NAME: Final = 4  # characters
_LATIN = re.compile(rf"[a-z]{{{LEAST_LETTERS},}}", re.I)
_CHINESE = re.compile("[\u3400-\u9fff]+")
# Sounds that are often taken for each other, in speech and on keyboards.
_ALIKE: Final = ((re.compile(r"([zcs])h"), r"\1"), (re.compile(r"ng$"), "n"), (re.compile(r"^l"), "n"))


class Speller:
    """Mends the words of a query by those in use: `vocabulary` as `words` cuts it, Chinese `names`."""

    def __init__(self, vocabulary: Collection[str], names: Iterable[str]) -> None:
        self._vocabulary, self._names = vocabulary, frozenset(names)

    def mended(self, query: str) -> str:
        """The query, with words that nothing knows replaced by like ones that are known."""
        return _CHINESE.sub(lambda run: self._by_sound(run[0]), _LATIN.sub(lambda word: self._typed(word[0]), query))

    def _typed(self, word: str) -> str:
        from rapidfuzz.distance import DamerauLevenshtein
        from rapidfuzz.process import extractOne

        from knowledge_base.words import words

        (plain,) = words(word)
        if plain in self._vocabulary:
            return word
        most = 2 if len(plain) >= LONG_WORD else 1
        known = self._by_letter.get(plain[0], ())
        found = extractOne(plain, known, scorer=DamerauLevenshtein.distance, score_cutoff=most)
        return found[0] if found else word

    def _by_sound(self, run: str) -> str:
        """A run of characters with every unknown one that sounds like a name replaced by it, longest first."""
        for length in range(min(LONGEST_NAME, len(run)), 1, -1):
            for start in range(len(run) - length + 1):
                piece = run[start : start + length]
                name = self._sounding.get(_sound(piece))
                if name and not self._known(piece) and set(name) & set(piece):
                    return self._by_sound(run[:start]) + name + self._by_sound(run[start + length :])
        return run

    def _known(self, piece: str) -> bool:
        """Whether characters are a name, a word, or stand so in what is known."""
        from knowledge_base.translation import is_chinese_word

        pairs = (piece[start : start + 2] for start in range(len(piece) - 1))
        return piece in self._names or all(pair in self._vocabulary for pair in pairs) or is_chinese_word(piece)

    @cached_property
    def _by_letter(self) -> dict[str, list[str]]:
        """The words of the vocabulary that are long enough, by their first letter."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for word in self._vocabulary:
            if _LATIN.fullmatch(word):
                found[word[0]].append(word)
        return found

    @cached_property
    def _sounding(self) -> dict[str, str]:
        return {_sound(name): name for name in self._names if 1 < len(name) <= LONGEST_NAME}


def _sound(text: str) -> str:
    """How characters sound, without tones and without what is often confused."""
    from pypinyin import lazy_pinyin

    syllables = lazy_pinyin(text)
    for pattern, common in _ALIKE:
        syllables = [pattern.sub(common, syllable) for syllable in syllables]
    return " ".join(syllables)
