"""Texts as they were written, with the same sentence in the other language where a knowledge entry has it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from agent.diagnosis import Language
from agent.report.sentences import BEGINNINGS, CHINESE
from agent.report.words import WORDS
from knowledge_base.entry import Entry, Sections
from knowledge_base.limits import Limit

LONGEST = 600  # characters of a text in a diagnosis; a longer one was cut there
OTHER: Mapping[Language, Language] = {"en": "zh", "zh": "en"}
LISTS = ("causes", "repair", "prevention")
_CHINESE_LETTER = re.compile("[\u3400-\u9fff]")
_REFUSED = re.compile(r"(\w+) could not be used: (.*)", re.DOTALL)
_LETTERS = re.compile("[A-Za-z]{3}")

Pair = tuple[Language, str]  # the other language, and the sentence in it


@dataclass(frozen=True)
class Told:
    """A text as `written`; `versions` are the same in other languages, from a knowledge entry."""

    written: str
    versions: Mapping[Language, str] = field(default_factory=dict)

    def said(self, language: Language) -> str:
        """The text in a language, else as it was written."""
        return self.versions.get(language, self.written)

    def foreign(self, language: Language) -> bool:
        """Whether a reader of this language gets it in another one."""
        if language in self.versions:
            return False
        chinese = _CHINESE_LETTER.search(self.written) is not None
        return chinese if language == "en" else not chinese and _LETTERS.search(self.written) is not None


class Translations:
    """What knowledge entries say in both languages."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = {entry.id: entry for entry in entries}

    def text(self, written: str, ids: Sequence[str]) -> Told:
        """A text that may be sentences of these entries."""
        return Told(written, _fixed(written) or self._sentences(written, ids))

    def defect(self, written: str, ids: Sequence[str]) -> Told:
        """The name of a defect: of these entries, else of any that is not about certain products."""
        cited = [self._entries[id_] for id_ in ids if id_ in self._entries]
        general = [entry for entry in self._entries.values() if not entry.products]
        named = next((entry for entry in (*cited, *general) if _named(entry, written)), None)
        if named is None:
            return Told(written)
        chinese = _CHINESE_LETTER.search(written)
        return Told(written, {"en": named.defect} if chinese else {"zh": named.title["zh"]})

    def title(self, written: str, id_: str) -> Told:
        """The title of an entry, else the one that the run kept."""
        entry = self._entries.get(id_)
        return Told(written, dict(entry.title) if entry else {})

    def limit(self, id_: str, words: str) -> Limit | None:
        """The limit of an entry that reads so, or None."""
        entry = self._entries.get(id_)
        return next((limit for limit in entry.limits if limit.words() == words), None) if entry else None

    def _sentences(self, written: str, ids: Sequence[str]) -> Mapping[Language, str]:
        """The text in the other language, when it is made of whole sentences of the entries and nothing else."""
        known = {
            sentence: pair
            for id_ in reversed(ids)
            if id_ in self._entries
            for sentence, pair in _pairs(self._entries[id_])
        }
        longest_first = sorted(known, key=len, reverse=True)
        rest, found = _tidy(written), list[Pair]()
        while rest:
            cut = rest if len(written) >= LONGEST else None
            sentence = next((one for one in longest_first if _begins(rest, one, cut)), None)
            if sentence is None:
                return {}
            found.append(known[sentence])
            rest = rest[len(sentence) :].strip()
        languages = {language for language, _ in found}
        if len(languages) != 1:
            return {}
        language = languages.pop()
        return {language: (" " if language == "en" else "").join(text for _, text in found)}


def _begins(rest: str, sentence: str, cut: str | None) -> bool:
    return rest == sentence or rest.startswith(f"{sentence} ") or (cut is not None and sentence.startswith(cut))


def _pairs(entry: Entry) -> Iterator[tuple[str, Pair]]:
    """Each sentence of an entry with its counterpart: the effect, and the points by their place in the lists."""
    for language, other in OTHER.items():
        own, theirs = _lines(entry.sections[language]), _lines(entry.sections[other])
        yield from ((own[place], (other, theirs[place])) for place in own if place in theirs)


def _lines(sections: Sections) -> dict[tuple[str, int], str]:
    points = {(name, number): text for name in LISTS for number, text in enumerate(getattr(sections, name))}
    return {place: _tidy(text) for place, text in {("effect", 0): sections.effect, **points}.items()}


def _named(entry: Entry, written: str) -> bool:
    names = (entry.defect, *entry.title.values(), *(name for names in entry.aliases.values() for name in names))
    return written.casefold() in {name.casefold() for name in names}


def _fixed(written: str) -> Mapping[Language, str]:
    """What the product itself says in fixed words."""
    if written in CHINESE:
        return {"zh": CHINESE[written]}
    for beginning, chinese in BEGINNINGS.items():
        if written.startswith(beginning):
            return {"zh": chinese + written.removeprefix(beginning)}
    refused = _REFUSED.match(written)
    tool = WORDS["zh"].get(f"tool.{refused[1]}") if refused else None
    return {"zh": f"{tool}无法使用：{refused[2]}"} if refused and tool else {}


def _tidy(text: str) -> str:
    return " ".join(text.split())
