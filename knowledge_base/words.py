"""Finds items by the words they share with a query: BM25, and the share of the query an item contains."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from knowledge_base.documents.chunks import Chunk
from knowledge_base.entry import LANGUAGES, Entry

if TYPE_CHECKING:
    import bm25s

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
    """The words of entries, in both languages, and of chunks; names count three times as much as descriptions."""

    def __init__(self, items: Mapping[str, Entry | Chunk], bm25: bm25s.BM25) -> None:
        self._items, self._bm25 = items, bm25
        self._ids = list(items)
        self._place = {id_: place for place, id_ in enumerate(self._ids)}
        self._words: dict[str, frozenset[str]] = {}

    @classmethod
    def of(cls, items: Mapping[str, Entry | Chunk]) -> WordIndex:
        """The index of these items."""
        import bm25s

        bm25 = bm25s.BM25()
        bm25.index([item_words(item) for item in items.values()] or [["nothing"]], show_progress=False)
        return cls(items, bm25)

    @classmethod
    def opened(cls, folder: Path, items: Mapping[str, Entry | Chunk]) -> WordIndex:
        """What `save` wrote of these items; made anew when it is missing, damaged or of another number of items."""
        import bm25s

        try:
            bm25 = bm25s.BM25.load(folder, show_progress=False)
            if bm25.scores["num_docs"] == max(len(items), 1) and len(bm25.scores["indptr"]) == len(bm25.vocab_dict) + 1:
                return cls(items, bm25)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return cls.of(items)

    def save(self, folder: Path) -> None:
        """Writes the index into a new folder."""
        self._bm25.save(folder, show_progress=False)

    def best(self, query: Sequence[str], among: Iterable[str] | None, limit: int) -> dict[str, float]:
        """BM25 scores of the items that share the most words with a query, at most `limit` of those in `among`."""
        known = [word for word in query if word in self._bm25.vocab_dict]
        if not known or not self._ids:
            return {}
        scores = self._bm25.get_scores(known)
        places = np.arange(len(scores)) if among is None else np.array([self._place[id_] for id_ in among], np.int64)
        top = places[np.argsort(-scores[places], kind="stable")[:limit]]
        return {self._ids[place]: float(scores[place]) for place in top if scores[place] > 0}

    def share(self, query: Iterable[str], id_: str) -> float:
        """How much of the query an item contains, 0 to 1; rare words weigh more (by their BM25 weight)."""
        asked = set(query)
        if id_ not in self._words:
            self._words[id_] = frozenset(item_words(self._items[id_]))
        return self._weight(asked & self._words[id_]) / max(self._weight(asked), LEAST_WEIGHT)

    def _weight(self, some: Iterable[str]) -> float:
        count = len(self._ids)
        return sum(math.log(1 + (count - found + 0.5) / (found + 0.5)) for found in map(self._found_in, some))

    def _found_in(self, word: str) -> int:
        """How many items have the word."""
        row = self._bm25.vocab_dict.get(word)
        begins = self._bm25.scores["indptr"]
        return 0 if row is None else int(begins[row + 1] - begins[row])


def item_words(item: Entry | Chunk) -> list[str]:
    """The words that an item is found by."""
    if isinstance(item, Chunk):
        names = " ".join([item.heading, item.defect, *item.products])
        return words(names) * NAMES_WEIGHT + words(item.text)
    told = [*item.products, item.family, item.defect]
    for language in LANGUAGES:
        told += [item.title[language]] * 2 + list(item.aliases[language])
    looks: Sequence[str] = [item.sections[language].looks for language in LANGUAGES]
    return words(" ".join(told)) * NAMES_WEIGHT + words(" ".join(looks))
