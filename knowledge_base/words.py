"""Finds entries by the words they share with a query: BM25, and the share of the query an entry contains."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from knowledge_base.entry import LANGUAGES, Entry

# A query of nothing but filler ("the") weighs less than one telling word, and so cannot be contained in full.
LEAST_WEIGHT: Final = 3.0
NAMES_WEIGHT: Final = 3

_RUNS = re.compile(r"[a-z0-9]+|[\u3400-\u9fff]+")
_PLURAL = re.compile(r"(?<=[cs]h)es$|(?<=[sxz])es$|(?<=[^su])s$")


def words(text: str) -> list[str]:
    """English words in lower case without plural endings, Chinese in pairs of neighbouring characters."""
    runs = _RUNS.findall(unicodedata.normalize("NFKC", text).casefold())
    return [word for run in runs for word in (_pairs(run) if run[0] >= "\u3400" else [_singular(run)])]


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]


def _singular(word: str) -> str:
    return _PLURAL.sub("", word) if len(word) > 3 else word


class WordIndex:
    """The words of every entry, in both languages; names count three times as much as the description."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        import bm25s

        texts = {entry.id: _entry_words(entry) for entry in entries}
        self._ids = list(texts)
        self._words = {id_: set(text) for id_, text in texts.items()}
        self._found_in = Counter(word for text in self._words.values() for word in text)
        self._bm25 = bm25s.BM25()
        if texts:
            self._bm25.index(list(texts.values()), show_progress=False)

    def scores(self, query: str) -> dict[str, float]:
        """BM25 score of every entry that shares a word with the query."""
        known = [word for word in words(query) if word in self._found_in]
        if not known:
            return {}
        scores = zip(self._ids, self._bm25.get_scores(known).tolist(), strict=True)
        return {id_: score for id_, score in scores if score > 0}

    def share(self, query: str, id_: str) -> float:
        """How much of the query an entry contains, 0 to 1; rare words weigh more (by their BM25 weight)."""
        asked = set(words(query))
        weight = max(self._weight(asked), LEAST_WEIGHT)
        return self._weight(asked & self._words[id_]) / weight

    def _weight(self, some: Iterable[str]) -> float:
        count = len(self._ids)
        return sum(math.log(1 + (count - self._found_in[word] + 0.5) / (self._found_in[word] + 0.5)) for word in some)


def _entry_words(entry: Entry) -> list[str]:
    names: list[str] = [*entry.products, entry.family, entry.defect]
    for language in LANGUAGES:
        names += [entry.title[language]] * 2 + list(entry.aliases[language])
    looks: Sequence[str] = [entry.sections[language].looks for language in LANGUAGES]
    return words(" ".join(names)) * NAMES_WEIGHT + words(" ".join(looks))
