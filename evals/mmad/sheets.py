"""MMAD's domain knowledge: the whole text on an object, every defect type of it: near-oracle, and labelled so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from evals.dataset import DatasetError
from evals.mmad.data import MmadImage

DATASETS = {"DS-MVTec": "MVTec"}  # as the sheets name them

Sheets = Mapping[str, Mapping[str, Mapping[str, str]]]


def read_sheets(path: Path) -> Sheets:
    """domain_knowledge.json: texts by data set, object and defect; DatasetError when it is not that."""
    try:
        sheets: Sheets = json.loads(path.read_bytes())
        for objects in sheets.values():
            for texts in objects.values():
                if not all(isinstance(text, str) for text in texts.values()):
                    raise ValueError("texts by data set, object and defect expected")
    except OSError as error:
        raise DatasetError(path, error.strerror or "cannot be read", "name MMAD's domain_knowledge.json") from error
    except (ValueError, AttributeError) as error:
        raise DatasetError(path, f"no domain knowledge ({error})", "name MMAD's domain_knowledge.json") from error
    return sheets


def sheet_of(sheets: Sheets, image: MmadImage) -> str | None:
    """All texts on the picture's object, one after the other, as MMAD joins them; None where there is none."""
    texts = sheets.get(DATASETS.get(image.dataset, image.dataset), {}).get(image.product)
    return "\n".join(text.strip() for text in texts.values()) if texts else None
