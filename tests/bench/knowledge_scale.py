"""How long a search takes among many passages, with and without a product: opening, p50 and p95 of warm searches.

    python -m tests.bench.knowledge_scale --passages 100000

Texts are sentences of drawn words and their vectors are drawn around a hundred real ones, since embedding so many takes
hours; queries are embedded as always.
"""

from __future__ import annotations

import random
import resource
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from knowledge_base.documents import shelf
from knowledge_base.embedding import Vector, embed_passages, text_key
from knowledge_base.store import KnowledgeBase

PRODUCTS = 100
ROWS = 500  # of a table: passages of one document
QUERIES = ("dark thin line on the seal", "密封面上有划痕", "oil on the housing", "螺纹损坏", "burr at the edge")
WORDS = (
    *("seal", "housing", "burr", "oil", "line", "scratch", "weld", "pore", "edge", "thread", "crack", "hole", "gasket"),
    *("valve", "划痕", "裂纹", "油污", "毛刺", "密封", "螺纹"),
)


def drawn_vectors(texts: Iterable[str], known: Mapping[str, Vector]) -> dict[str, Vector]:
    """A vector for each text, around one of a hundred real ones."""
    centres = list(embed_passages([f"{one} {other}" for one in WORDS[:10] for other in WORDS[10:]], {}).values())
    found = {}
    for text in texts:
        key = text_key(text)
        vector = centres[int(key[:8], 16) % len(centres)] + 0.02 * np.random.default_rng(int(key[:8], 16)).normal(
            size=384
        )
        found[key] = np.asarray(vector / np.linalg.norm(vector), np.float32)
    return found


def write_tables(folder: Path, passages: int) -> None:
    """Tables of many rows, each row a passage on one of the products."""
    draw = random.Random(0)
    for table in range(-(-passages // ROWS)):
        rows = ["product,defect,looks"]
        for row in range(min(ROWS, passages - table * ROWS)):
            said = " ".join(draw.choices(WORDS, k=40))
            rows.append(f"product {draw.randrange(PRODUCTS)},defect {table}-{row},{said} {draw.random()}")
        (folder / f"table-{table}.csv").write_text("\n".join(rows), "utf-8")


def times(known: KnowledgeBase, product: str | None) -> str:
    """Median and 95th percentile of warm searches, in milliseconds."""
    spent = []
    for _ in range(10):
        for query in QUERIES:
            started = time.perf_counter()
            known.search(query, product=product)
            spent.append(1000 * (time.perf_counter() - started))
    return f"p50 {statistics.median(spent):.0f} ms, p95 {np.percentile(spent, 95):.0f} ms"


def main(passages: Annotated[int, typer.Option(min=1)] = 1000) -> None:
    """Add drawn passages to an empty home and search."""
    shelf.embed_passages = drawn_vectors
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "plant"
        folder.mkdir()
        write_tables(folder, passages)
        started = time.perf_counter()
        KnowledgeBase(Path(name) / "home").add(folder)
        print(f"{passages} passages added in {time.perf_counter() - started:.0f} s (vectors drawn)", flush=True)
        known = KnowledgeBase(Path(name) / "home")
        started = time.perf_counter()
        known.search("warm up")
        print(f"opened and searched once in {time.perf_counter() - started:.1f} s")
        print(f"with a product: {times(known, 'product 7')}")
        print(f"without: {times(known, None)}")
        print(f"most memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")


if __name__ == "__main__":
    typer.run(main)
