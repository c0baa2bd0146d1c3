"""Everything that is known at one moment, with its indexes: what a search looks through."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from knowledge_base.documents.chunks import Chunk, language_of
from knowledge_base.embedding import Vector, embed_query
from knowledge_base.entry import LANGUAGES, Entry, Language
from knowledge_base.index import Embedded, VectorIndex, entry_texts
from knowledge_base.products import ProductMap
from knowledge_base.ranking import FLOOR, Match, off_topic, order
from knowledge_base.spelling import Speller
from knowledge_base.translation import Translator
from knowledge_base.words import Term, WordIndex, terms_of

NEAREST: Final = 60
SHARING: Final = 40
Items = Mapping[str, Entry | Chunk]
Steps = Mapping[str, int] | None


@dataclass(frozen=True, eq=False)
class View:
    """Entries, chunks of documents and their indexes as they were when the manifest had this stamp."""

    entries: Mapping[str, Entry]
    items: Items
    products: ProductMap
    words: WordIndex
    vectors: VectorIndex
    stamp: tuple[int, int] | None

    def best(self, query: str, product: str | None, floor: float = FLOOR) -> Iterator[tuple[Entry | Chunk, float]]:
        """The items that answer a query, best first, each with its relevance; of a section only the best chunk.

        Documents in the other language are asked in their language.
        """
        query, steps = self._speller.mended(query), self.products.closeness(product)
        spoken = language_of(query)
        foreign = self._foreign(spoken, steps)
        with ThreadPoolExecutor(1) as beside:
            translated = beside.submit(self._translated, query, foreign) if foreign else None
            found = self._matches(embed_query(query), terms_of(query), steps, spoken)
        for id_, match in translated.result().items() if translated else ():
            # a chunk in both languages may answer better as it was asked
            found[id_] = max(match, found.get(id_, match), key=lambda one: one.fit)
        relevant = {id_: match for id_, match in found.items() if match.relevance >= floor}
        seen = set[object]()
        for id_ in order(relevant, steps):
            item = self.items[id_]
            marks = {item.key, (item.document, item.section)} if isinstance(item, Chunk) else {id_}
            if not marks & seen and not off_topic(query, _said(item)):
                yield item, relevant[id_].relevance
            seen |= marks

    def _foreign(self, spoken: Language, steps: Steps) -> list[str]:
        """The chunks that are in the other language than a query."""
        chunks = (id_ for language, ids in self._written_in.items() if language != spoken for id_ in ids)
        return [id_ for id_ in chunks if steps is None or id_ in steps]

    def _translated(self, query: str, among: Collection[str]) -> dict[str, Match]:
        """The chunks in the other language that answer the translated query."""
        there = self._translator.translated(query)
        return self._matches(embed_query(there.text, 1), there.terms, among, there.language, translated=True)

    def _matches(
        self,
        vector: Vector,
        terms: Sequence[Term],
        among: Collection[str] | None,
        language: Language,
        *,
        translated: bool = False,
    ) -> dict[str, Match]:
        """The items nearest in meaning and those that share the most words."""
        whole = self.words.whole(terms)
        nearest = self.vectors.cosines(vector, among)
        sharing = set(self.words.best(terms, among, SHARING))
        nearest |= self.vectors.cosines(vector, sharing - nearest.keys())
        closest = sorted(nearest, key=lambda id_: -nearest[id_])[:NEAREST]
        cosines = {id_: nearest[id_] for id_ in {*closest, *sharing}}
        found = {}
        for id_, cosine in cosines.items():
            weight = self.words.shared(terms, id_)
            named = self.words.is_name(terms, id_)
            found[id_] = Match(cosine, weight, min(1.0, weight / whole), language, translated, named)
        return found

    @cached_property
    def _speller(self) -> Speller:
        names = (name for entry in self.entries.values() for name in (entry.title["zh"], *entry.aliases["zh"]))
        return Speller(self.words.vocabulary, names)

    @cached_property
    def _written_in(self) -> Mapping[Language, Sequence[str]]:
        """The chunks in each language; entries are in both."""
        chunks = [item for item in self.items.values() if isinstance(item, Chunk)]
        return {language: [chunk.id for chunk in chunks if chunk.language == language] for language in LANGUAGES}

    @cached_property
    def _translator(self) -> Translator:
        return Translator(self.entries.values())


def _said(item: Entry | Chunk) -> list[str]:
    """The texts of an item, for a search by topic."""
    if isinstance(item, Chunk):
        return [item.embedded]
    return [item.model_dump_json()]


def items_of(entries: Mapping[str, Entry], chunks: Sequence[Chunk]) -> Items:
    """Entries and chunks by id."""
    return {**entries, **{chunk.id: chunk for chunk in chunks}}


def texts_of(entries: Mapping[str, Entry], chunks: Sequence[Chunk]) -> Sequence[Embedded]:
    """What is embedded of entries and chunks."""
    return [*entry_texts(entries.values()), *(Embedded(chunk.id, chunk.id, chunk.embedded) for chunk in chunks)]
