"""Everything that is known at one moment, with its indexes: what a search looks through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from knowledge_base.documents.chunks import Chunk
from knowledge_base.embedding import embed_query
from knowledge_base.entry import Entry
from knowledge_base.index import Embedded, VectorIndex, entry_texts
from knowledge_base.products import ProductMap
from knowledge_base.ranking import FLOOR, fuse, order, relevance
from knowledge_base.words import WordIndex, words

NEAREST: Final = 100
SHARING: Final = 50
Items = Mapping[str, Entry | Chunk]


@dataclass(frozen=True)
class View:
    """Entries, chunks of documents and their indexes as they were when the manifest had this stamp."""

    entries: Mapping[str, Entry]
    items: Items
    products: ProductMap
    words: WordIndex
    vectors: VectorIndex
    stamp: tuple[int, int] | None

    def best(self, query: str, product: str | None) -> Iterator[tuple[Entry | Chunk, float]]:
        """The items that answer a query, best first, each with its relevance; of a section only the best chunk."""
        steps = self.products.closeness(product)
        by_meaning, by_words = self._candidates(query, steps)
        asked = words(query)
        scores = {id_: relevance(cosine, self.words.share(asked, id_)) for id_, cosine in by_meaning.items()}
        relevant = {id_: score for id_, score in scores.items() if score >= FLOOR}
        seen = set[object]()
        for id_ in order(relevant, fuse(by_meaning, by_words), steps or dict.fromkeys(relevant, 0)):
            item = self.items[id_]
            marks = {item.key, (item.document, item.section)} if isinstance(item, Chunk) else {id_}
            if not marks & seen:
                yield item, relevant[id_]
            seen |= marks

    def _candidates(self, query: str, steps: Mapping[str, int] | None) -> tuple[dict[str, float], dict[str, float]]:
        """Cosines of the items nearest in meaning or sharing the most words, and word scores of the latter."""
        vector = embed_query(query)
        nearest = self.vectors.cosines(vector, steps)
        by_meaning = dict(sorted(nearest.items(), key=lambda pair: -pair[1])[:NEAREST])
        by_words = self.words.best(words(query), steps, SHARING)
        by_meaning |= self.vectors.cosines(vector, by_words.keys() - by_meaning)
        return by_meaning, by_words


def items_of(entries: Mapping[str, Entry], chunks: Sequence[Chunk]) -> Items:
    """Entries and chunks by id."""
    return {**entries, **{chunk.id: chunk for chunk in chunks}}


def texts_of(entries: Mapping[str, Entry], chunks: Sequence[Chunk]) -> Sequence[Embedded]:
    """What is embedded of entries and chunks."""
    return [*entry_texts(entries.values()), *(Embedded(chunk.id, chunk.id, chunk.embedded) for chunk in chunks)]
