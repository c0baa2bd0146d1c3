"""How well the knowledge base answers: recall, reciprocal rank, false answers and milliseconds, by kind of query.

    python -m evals.knowledge.measure [--half held]

`queries.jsonl` holds queries with known answers, written before anything was tuned. Every second query of a kind is
held back: constants are chosen on the other half only.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from knowledge_base.embed_entries import embed_entries
from knowledge_base.entry import SECTION_HEADINGS, Entry, Language
from knowledge_base.passage import Passage
from knowledge_base.store import KnowledgeBase

HERE = Path(__file__).parent
DEPTH = 3
Half = Literal["tune", "held", "all"]


@dataclass(frozen=True)
class Query:
    """A query with every acceptable answer: an entry's id, or "file#section"; none when nothing answers it."""

    text: str
    kind: str
    product: str | None
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """A query with the rank (from 1) of its first right answer, None when it is not among the shown, and the time."""

    query: Query
    rank: int | None
    answered: bool
    seconds: float


def read_queries(path: Path, half: Half) -> list[Query]:
    """The queries of a file, or every second one of each kind."""
    found: defaultdict[str, list[Query]] = defaultdict(list)
    for line in path.read_text("utf-8").splitlines():
        told = json.loads(line)
        kind = told.get("kind", "object")
        found[kind].append(Query(told["query"], kind, told.get("product"), tuple(told["answers"])))
    start, step = {"tune": (0, 2), "held": (1, 2), "all": (0, 1)}[half]
    return [query for queries in found.values() for query in queries[start::step]]


def ask(known: KnowledgeBase, queries: Sequence[Query], depth: int = 10) -> list[Asked]:
    """Every query, with what came of it."""
    known.search("warm up")
    asked = []
    for query in queries:
        started = time.perf_counter()
        hits = known.search(query.text, product=query.product, limit=depth)
        seconds = time.perf_counter() - started
        names = [names_of(hit) for hit in hits]
        rank = next((rank for rank, name in enumerate(names, 1) if name & set(query.answers)), None)
        asked.append(Asked(query, rank, bool(hits), seconds))
    return asked


def names_of(hit: Passage) -> set[str]:
    """What an answer may call a hit: an entry's id, file and section, or MMAD's data set and object."""
    file, sections = hit.source.split(", p. ")[0], hit.title.split(" › ")[1:]
    return {hit.id, file, *sections, *(f"{file}#{section}" for section in sections)}


def table(asked: Sequence[Asked]) -> dict[str, dict[str, float]]:
    """Percent by kind of query; of the unanswerable ones only how many were answered."""
    kinds: defaultdict[str, list[Asked]] = defaultdict(list)
    for one in asked:
        kinds[one.query.kind].append(one)
    return {kind: _row(of) for kind, of in kinds.items()}


def _row(asked: Sequence[Asked]) -> dict[str, float]:
    row = {"queries": len(asked), "ms": round(1000 * statistics.median(one.seconds for one in asked), 1)}
    if not asked[0].query.answers:
        return {**row, "answered": _percent([one.answered for one in asked])}
    return {
        **row,
        "R@1": _percent([one.rank == 1 for one in asked]),
        "R@3": _percent([one.rank is not None and one.rank <= DEPTH for one in asked]),
        "MRR": _percent([1 / one.rank if one.rank else 0.0 for one in asked]),
        "silent": _percent([not one.answered for one in asked]),
    }


def _percent(values: Sequence[float]) -> float:
    return round(100 * statistics.mean(values), 1)


def one_language(folder: Path, language: Language) -> Path:
    """The shipped entries as documents of a plant that writes one language only: a file each, named by its id."""
    folder.mkdir()
    for entry in KnowledgeBase(folder.parent / "reading").list():
        (folder / f"{entry.id}.md").write_text(_as_document(entry, language), "utf-8")
    return folder


def _as_document(entry: Entry, language: Language) -> str:
    sections = entry.sections[language]
    names = ", ".join((entry.title[language], *entry.aliases[language]))
    said = "\n\n".join(
        f"{SECTION_HEADINGS[language][field]}: {getattr(sections, field)}" for field in ("looks", "effect")
    )
    return f"# {entry.title[language]}\n\n{names}\n\n{said}\n"


def across(queries: Sequence[Query], folder: Path) -> Iterator[Asked]:
    """Queries about entries, asked of documents in the other language."""
    (folder / "none").mkdir()
    embed_entries(folder / "none")
    for kind, language in (("zh_zh", "en"), ("en_en", "zh")):
        known = KnowledgeBase(folder / f"home-{language}", shipped=folder / "none")
        known.add(one_language(folder / f"entries-{language}", "en" if language == "en" else "zh"))
        ids = {record.name.removesuffix(".md") for record in known.documents()}
        chosen = [
            Query(query.text, f"entries {kind[:2]} to {language}", None, tuple(f"{id_}.md" for id_ in query.answers))
            for query in queries
            if query.kind == kind and set(query.answers) <= ids
        ]
        known.search("warm up")
        for query in chosen:
            hits = known.search(query.text, limit=10)
            rank = next((rank for rank, hit in enumerate(hits, 1) if hit.source in query.answers), None)
            yield Asked(query, rank, bool(hits), 0.0)


def main(
    half: Annotated[Half, typer.Option(help="tune: the half that constants are chosen on.")] = "held",
    data: Annotated[Path | None, typer.Option(help="Folder with MMAD's domain_knowledge.json.")] = None,
    wrong: Annotated[bool, typer.Option(help="Print the queries that failed.")] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Print a table by kind of query."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        known = KnowledgeBase(folder / "home")
        known.add(HERE / "documents")
        queries = read_queries(HERE / "queries.jsonl", half)
        asked = [*ask(known, queries), *across(queries, folder)]
        if data:
            objects = KnowledgeBase(folder / "objects", shipped=folder / "none")
            objects.add(data / "domain_knowledge.json")
            asked += ask(objects, read_queries(HERE / "mmad_objects.jsonl", "all"))
    found = table(asked)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for kind, row in found.items():
        print(f"{kind:18}", "  ".join(f"{column} {value:g}" for column, value in row.items()))
    for one in asked if wrong else ():
        if one.answered if not one.query.answers else one.rank is None or one.rank > DEPTH:
            print(f"  {one.query.kind}: {one.query.text!r} wanted {one.query.answers}, rank {one.rank}")


if __name__ == "__main__":
    typer.run(main)
