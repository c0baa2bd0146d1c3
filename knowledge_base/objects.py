"""What objects and defects look like, in the words of `tools.appearance` and `tools.mark`: to tell without a model.

Written from general knowledge of what benchmarks show, not from their pictures' names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

TABLE = Path(__file__).parent / "objects.json"
FITS, MISFITS = 1.0, -1.0


@cache
def _tables() -> Mapping[str, Mapping[str, Mapping[str, list[str]]]]:
    tables: Mapping[str, Mapping[str, Mapping[str, list[str]]]] = json.loads(TABLE.read_text("utf-8"))
    return tables


def likeness(options: Mapping[str, str], look: str, kind: Literal["objects", "defects"]) -> dict[str, float]:
    """How well each option's object or defect fits a look, by letter: from 1, all of it fits, to -1.

    Options that name nothing known score 0.
    """
    return {letter: _fit(text, look.split("; "), _tables()[kind]) for letter, text in options.items()}


def _fit(text: str, look: list[str], table: Mapping[str, Mapping[str, list[str]]]) -> float:
    known = [(name, object_) for name, object_ in table.items() if re.search(rf"\b{name}s?\b", text, re.IGNORECASE)]
    if not known:
        return 0.0
    _, object_ = max(known, key=lambda pair: len(pair[0]))
    return sum(_agreement(expected, look) for expected in object_.values()) / len(object_)


def _agreement(expected: list[str], look: list[str]) -> float:
    return FITS if any(seen.startswith(word) or word in seen for word in expected for seen in look) else MISFITS
