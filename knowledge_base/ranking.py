"""How relevant an entry is to a query, and which of the relevant ones comes first.

The constants were chosen on the shipped entries with 95 queries about defects and products and 60 about
anything else, in English and Chinese; some of them are in tests/knowledge_base/test_relevance.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FLOOR: Final = 0.28
"""Relevance below which an entry does not answer a query."""

# e5 puts unrelated texts at a cosine of about 0.8.
_UNRELATED: Final = 0.8
_SPAN: Final = 0.25
_SHARE_WEIGHT: Final = 0.1

_RANK_OFFSET: Final = 20
_WORDS_WEIGHT: Final = 0.7
_WORDS_RANKS: Final = 10

_NEARLY: Final = 0.15


def relevance(cosine: float, share: float) -> float:
    """0 to 1, from the cosine of meaning and the share of the query's words that the entry contains."""
    score = (cosine + _SHARE_WEIGHT * share - _UNRELATED) / _SPAN
    return min(1.0, max(0.0, score))


def fuse(by_meaning: Mapping[str, float], by_words: Mapping[str, float]) -> dict[str, float]:
    """Reciprocal ranks in both lists added up, those by words counting less and only the ten best of them.

    Source: Cormack, Clarke, Buettcher, Reciprocal rank fusion outperforms Condorcet (SIGIR 2009).
    """
    fused = {id_: 1 / (_RANK_OFFSET + rank) for rank, id_ in enumerate(_best_first(by_meaning), start=1)}
    for rank, id_ in enumerate(_best_first(by_words)[:_WORDS_RANKS], start=1):
        fused[id_] = fused.get(id_, 0.0) + _WORDS_WEIGHT / (_RANK_OFFSET + rank)
    return fused


def order(relevant: Mapping[str, float], fused: Mapping[str, float], steps: Mapping[str, int]) -> list[str]:
    """The relevant entries: those nearly as relevant as the best first, the closest to the product first."""
    nearly = max(relevant.values(), default=0.0) - _NEARLY
    return sorted(relevant, key=lambda id_: (relevant[id_] < nearly, steps[id_], -fused[id_]))


def _best_first(scores: Mapping[str, float]) -> list[str]:
    return sorted(scores, key=lambda id_: -scores[id_])
