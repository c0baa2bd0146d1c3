"""Which entries may answer about a product."""

from __future__ import annotations

from pathlib import Path

import pytest

from knowledge_base.entry import Entry, read_entry
from knowledge_base.products import ProductMap, product_of


@pytest.fixture
def entries(some_entries: Path) -> dict[str, Entry]:
    return {path.stem: read_entry(path) for path in some_entries.glob("*.md")}


@pytest.mark.parametrize("product", ["mvtec_screw", "screw", "MVTec Screw", " mvtec-screw "])
def test_a_known_product_leaves_out_the_others(entries: dict[str, Entry], product: str) -> None:
    assert ProductMap(entries.values()).closeness(product) == {"thread": 0, "rust": 1, "scratch": 2, "stain": 2}


def test_a_family_is_asked_for_like_a_product(entries: dict[str, Entry]) -> None:
    assert ProductMap(entries.values()).closeness("metal") == {"thread": 1, "rust": 1, "scratch": 2, "stain": 2}


def test_of_an_unknown_product_only_general_entries_speak(entries: dict[str, Entry]) -> None:
    assert ProductMap(entries.values()).closeness("gearbox") == {"scratch": 2, "stain": 2}


@pytest.mark.parametrize("product", [None, "", "  "])
def test_without_a_product_all_are_alike(entries: dict[str, Entry], product: str | None) -> None:
    assert ProductMap(entries.values()).closeness(product) is None


def test_the_product_of_an_entry_is_the_one_asked_for(entries: dict[str, Entry]) -> None:
    assert product_of(entries["thread"], "Screw") == "screw"
    assert product_of(entries["thread"], None) == "mvtec_screw"
    assert product_of(entries["rust"], "screw") == "metal"
    assert product_of(entries["scratch"], "screw") == "general"
