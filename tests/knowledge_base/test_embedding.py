"""The offline embedding and the files that keep its vectors."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from knowledge_base import embedding
from knowledge_base.embedding import (
    DIMENSION,
    embed_passages,
    embed_query,
    read_vectors,
    same_vector,
    text_key,
    write_vectors,
)


def test_a_query_is_nearer_to_what_it_asks_for() -> None:
    texts = ["划痕:表面细长的亮线", "Cake recipe: flour, eggs and sugar"]
    vectors = embed_passages(texts, {})
    scratch, cake = (vectors[text_key(text)] for text in texts)
    asked = embed_query("scratch on the surface")
    assert asked.shape == (DIMENSION,)
    assert np.linalg.norm(asked) == pytest.approx(1, abs=1e-3)
    assert asked @ scratch > asked @ cake


def test_known_vectors_are_not_computed_again() -> None:
    made_up = np.full(DIMENSION, 0.5, np.float32)
    assert embed_passages(["Scratch"], {text_key("Scratch"): made_up})[text_key("Scratch")] is made_up


def test_vectors_survive_their_file(tmp_path: Path) -> None:
    vectors = embed_passages(["Scratch", "污渍"], {})
    write_vectors(tmp_path / "vectors", vectors)
    read = read_vectors(tmp_path / "vectors")
    assert read.keys() == vectors.keys()
    assert all(same_vector(read[key], vectors[key]) for key in vectors)


def test_vectors_of_another_model_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = embed_passages(["Scratch"], {})
    other = np.roll(embedding._probe(), 1)
    with monkeypatch.context() as patch:
        patch.setattr(embedding, "_probe", lambda: other)
        write_vectors(tmp_path / "vectors", vectors)
    assert read_vectors(tmp_path / "vectors") == {}


@pytest.mark.parametrize("content", [b"", b"junk", b"\xff" * 100])
def test_a_damaged_file_of_vectors_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "vectors").write_bytes(content)
    assert read_vectors(tmp_path / "vectors") == {}
    assert read_vectors(tmp_path / "missing") == {}


def test_threads_may_embed_at_the_same_time() -> None:
    alone = [embed_query(f"scratch {i}") for i in range(8)]
    together: dict[int, embedding.Vector] = {}

    def embed(i: int) -> None:
        together[i] = embed_query(f"scratch {i}")

    threads = [threading.Thread(target=embed, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(alone[i], together[i]) for i in range(8))


def test_loading_the_model_leaves_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    embedding._engine.__wrapped__(0)
    assert os.environ["OMP_NUM_THREADS"] == "7"
    monkeypatch.delenv("OMP_NUM_THREADS")
    embedding._engine.__wrapped__(0)
    assert "OMP_NUM_THREADS" not in os.environ
