"""What industrial objects look like as a whole, in the words of `tools.appearance`: to tell them apart without a model.

Written from general knowledge of the objects that benchmarks show, not from their pictures' names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

TABLE = Path(__file__).parent / "objects.json"
FITS, MISFITS = 1.0, -1.0


@cache
def _table() -> Mapping[str, Mapping[str, list[str]]]:
    table: Mapping[str, Mapping[str, list[str]]] = json.loads(TABLE.read_text("utf-8"))
    return table


def likeness(options: Mapping[str, str], look: str) -> dict[str, float]:
    """How well each option's object fits a look, by letter: 1 for each part of the look that fits, -1 for a misfit.

    Options that name no known object score 0.
    """
    return {letter: _fit(text, look.split("; ")) for letter, text in options.items()}


def _fit(text: str, look: list[str]) -> float:
    known = [(name, object_) for name, object_ in _table().items() if re.search(rf"\b{name}s?\b", text, re.IGNORECASE)]
    if not known:
        return 0.0
    _, object_ = max(known, key=lambda pair: len(pair[0]))
    return sum(_agreement(expected, look) for expected in object_.values())


def _agreement(expected: list[str], look: list[str]) -> float:
    return FITS if any(seen.startswith(word) or word in seen for word in expected for seen in look) else MISFITS
