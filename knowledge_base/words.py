"""Finds items by the words that they share with a query."""

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
UNHEARD: Final = 6.3  # weight of a word that no item has
NAMES_WEIGHT: Final = 3
BESIDE: Final = 0.7

_STOP = """
a an the of to in on for and or is are be by with at from it its as that this one etc not no do doe how what which who
when where why can may must should if then than have has had was were will would into over under more most much many
some any each per up out off so we i you he they them there here my our your me him her us
long take time get got want need use used make made work go goe come give know tell find ask say like look see let way
"""
STOP: Final = frozenset(_STOP.split())
# A word of a query: its readings (several when it was translated), each of one or more words.
Term = tuple[tuple[str, ...], ...]

# Chinese words that hold others together: pairs across them would mean nothing.
_FILLERS = re.compile("怎么|怎样|多少|什么|哪里|哪个|哪家|如何|可以|需要|是否|应该|多长|时候|[的了吗呢吧和与在是]")
_RUNS = re.compile(r"[a-z0-9]+|[\u3400-\u9fff]+")
_PLURAL = re.compile(r"(?<=[cs]h)es$|(?<=[sxz])es$|(?<=[^su])s$")


def words(text: str) -> list[str]:
    """English words in lower case without plural endings, Chinese in pairs of neighbouring characters."""
    runs = _RUNS.findall(_FILLERS.sub(" ", unicodedata.normalize("NFKC", text).casefold()))
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
        self._words: dict[str, Mapping[str, float]] = {}
        self._names: dict[str, frozenset[frozenset[str]]] = {}

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
            # the vocabulary may have an empty word more than there are columns
            whole = len(bm25.scores["indptr"]) >= len(bm25.vocab_dict)
            if whole and bm25.scores["num_docs"] == max(len(items), 1):
                return cls(items, bm25)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return cls.of(items)

    def save(self, folder: Path) -> None:
        """Writes the index into a new folder."""
        self._bm25.save(folder, show_progress=False)

    @property
    def vocabulary(self) -> Mapping[str, int]:
        """All words in use."""
        found: Mapping[str, int] = self._bm25.vocab_dict
        return found

    def best(self, terms: Sequence[Term], among: Iterable[str] | None, limit: int) -> list[str]:
        """The items that share the most words with a query (BM25), at most `limit` of those in `among`."""
        asked = (word for term in terms for reading in term for word in reading)
        known = [word for word in asked if word in self._bm25.vocab_dict]
        if not known or not self._ids:
            return []
        scores = self._bm25.get_scores(known)
        places = np.arange(len(scores)) if among is None else np.array([self._place[id_] for id_ in among], np.int64)
        top = places[np.argsort(-scores[places], kind="stable")[:limit]]
        return [self._ids[place] for place in top if scores[place] > 0]

    def shared(self, terms: Sequence[Term], id_: str) -> float:
        """The weight of the words of a query that an item contains, of each the reading that weighs most."""
        if id_ not in self._words:
            self._words[id_] = _counted(self._items[id_])
        return sum(max(self._weight(reading, self._words[id_]) for reading in term) for term in terms)

    def whole(self, terms: Sequence[Term]) -> float:
        """The weight of an item that contains the whole query; of each word the rarest reading that is in use."""
        return max(sum(map(self._most, terms)), LEAST_WEIGHT)

    def _most(self, term: Term) -> float:
        used = [reading for reading in term if all(map(self._found_in, reading))]
        return max(self._weight(reading, dict.fromkeys(reading, 1.0)) for reading in used or term)

    def _weight(self, reading: Sequence[str], counts: Mapping[str, float]) -> float:
        return sum(self._rarity(word) * counts.get(word, 0.0) for word in reading) / math.sqrt(len(reading))

    def is_name(self, terms: Sequence[Term], id_: str) -> bool:
        """Whether a query says just the name of an entry, or the heading of a chunk."""
        if id_ not in self._names:
            self._names[id_] = frozenset(frozenset(telling(name)) for name in _names(self._items[id_]))
        return frozenset(reading[0] for (reading, *_) in terms if len(reading) == 1) in self._names[id_]

    def _rarity(self, word: str) -> float:
        """The word's weight in BM25, on the scale of an index of a few hundred items, whatever their number."""
        return UNHEARD * self._unlikely(self._found_in(word)) / self._unlikely(0)

    def _unlikely(self, found: int) -> float:
        return math.log(1 + (len(self._ids) - found + 0.5) / (found + 0.5))

    def _found_in(self, word: str) -> int:
        """How many items have the word."""
        row = self._bm25.vocab_dict.get(word)
        begins = self._bm25.scores["indptr"]
        return 0 if row is None else int(begins[row + 1] - begins[row])


def terms_of(query: str) -> list[Term]:
    """The telling words of a query, each with itself as its only reading."""
    return [((word,),) for word in dict.fromkeys(telling(query))]


def telling(text: str) -> list[str]:
    """The words of a text but for those that tell nothing."""
    return [word for word in words(text) if word not in STOP]


def _names(item: Entry | Chunk) -> list[str]:
    """What an item is called."""
    if isinstance(item, Chunk):
        return [item.title, item.section, item.defect, *item.products]
    names = [name for language in LANGUAGES for name in (item.title[language], *item.aliases[language])]
    return [*names, *item.products]


def item_words(item: Entry | Chunk) -> list[str]:
    """The words that an item is found by; names count more."""
    return _naming(item) * NAMES_WEIGHT + _describing(item) + _beside(item)


def _counted(item: Entry | Chunk) -> dict[str, float]:
    """How much each word of an item counts: one that only stands beside its description counts less."""
    return dict.fromkeys(_beside(item), BESIDE) | dict.fromkeys([*_naming(item), *_describing(item)], 1.0)


def _naming(item: Entry | Chunk) -> list[str]:
    if isinstance(item, Chunk):
        return words(" ".join([item.heading, item.defect, *item.products]))
    titles = [item.title[language] for language in LANGUAGES for _ in range(2)]
    aliases = [alias for language in LANGUAGES for alias in item.aliases[language]]
    return words(" ".join([*item.products, item.family, item.defect, *titles, *aliases]))


def _describing(item: Entry | Chunk) -> list[str]:
    if isinstance(item, Chunk):
        return words(item.text)
    return words(" ".join(item.sections[language].looks for language in LANGUAGES))


def _beside(item: Entry | Chunk) -> list[str]:
    """What an entry says of causes, repair and look-alikes."""
    if isinstance(item, Chunk):
        return []
    said = (item.sections[language] for language in LANGUAGES)
    parts = ([one.look_alikes, one.effect, one.disposition, *one.causes, *one.repair, *one.prevention] for one in said)
    return words(" ".join(text for texts in parts for text in texts))
