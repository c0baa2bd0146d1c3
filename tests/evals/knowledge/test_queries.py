"""The queries with known answers are sound, and measuring them counts as it says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from evals.knowledge.measure import HERE, Asked, Query, ask, names_of, read_queries, table
from knowledge_base.documents.chunks import chunks_of
from knowledge_base.documents.reading import read_document
from knowledge_base.passage import Passage
from knowledge_base.store import SHIPPED, KnowledgeBase

FILES = ("queries.jsonl", "unanswerable.jsonl", "mmad_objects.jsonl")


def known_answers() -> set[str]:
    """Ids of entries, and file and section of every document."""
    found = {path.stem for path in SHIPPED.glob("*.md")}
    for path in (HERE / "documents").iterdir():
        for chunk in chunks_of(read_document(path), "key", path.name, None):
            passage = chunk.passage("", 0.0)
            found |= names_of(passage)
    return found


def test_every_answer_exists_and_no_query_stands_twice() -> None:
    queries = read_queries(HERE / "queries.jsonl", "all")
    assert {answer for query in queries for answer in query.answers} <= known_answers()
    assert max(Counter(query.text for query in queries).values()) == 1
    assert len(queries) > 200


def test_the_halves_are_apart_and_both_hold_every_kind() -> None:
    tune, held = (read_queries(HERE / "queries.jsonl", half) for half in ("tune", "held"))
    assert not {query.text for query in tune} & {query.text for query in held}
    assert {query.kind for query in tune} == {query.kind for query in held}
    assert len(tune) + len(held) == len(read_queries(HERE / "queries.jsonl", "all"))


@pytest.mark.parametrize("name", FILES)
def test_every_line_is_a_query(name: str) -> None:
    for line in (HERE / name).read_text("utf-8").splitlines():
        told = json.loads(line)
        assert told["query"].strip()
        assert isinstance(told["answers"], list)


def test_a_table_counts_ranks_and_false_answers() -> None:
    right, none = Query("a", "en_en", None, ("scratch",)), Query("b", "unanswerable", None, ())
    asked = [
        Asked(right, 1, True, 0.01),
        Asked(right, 3, True, 0.01),
        Asked(right, None, False, 0.01),
        Asked(right, 4, True, 0.01),
        Asked(none, None, True, 0.01),
        Asked(none, None, False, 0.01),
    ]
    found = table(asked)
    assert found["en_en"] == {"queries": 4, "ms": 10.0, "R@1": 25.0, "R@3": 50.0, "MRR": 39.6, "silent": 25.0}
    assert found["unanswerable"]["answered"] == 50.0


def test_a_passage_answers_by_id_by_file_and_by_section() -> None:
    passage = Passage("pump-1-2", "Pump › Leak test", "", "", "en", 0.5, "", "pump.pdf, p. 3")
    assert names_of(passage) == {"pump-1-2", "pump.pdf", "Leak test", "pump.pdf#Leak test"}


def test_asking_finds_the_rank(tmp_path: Path) -> None:
    known = KnowledgeBase(tmp_path)
    found = ask(known, [Query("scratch", "en_en", None, ("scratch",)), Query("football score", "x", None, ())])
    assert (found[0].rank, found[0].answered) == (1, True)
    assert (found[1].rank, found[1].answered) == (None, False)
