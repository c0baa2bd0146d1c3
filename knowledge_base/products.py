"""Which entries speak of a product, and how closely."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from knowledge_base.entry import Entry

GENERAL: Final = "general"


def closeness(entries: Mapping[str, Entry], product: str | None) -> dict[str, int]:
    """How close each entry is to a product, 0 nearest; entries of other products and families are left out.

    0: names the product. 1: holds for the whole family of the entries that name it (or of this name, when
    `product` is the name of a family). 2: is general. Of a product that no entry knows only the general ones speak.
    Without a product all are 0.
    """
    if not (product and product.strip()):
        return dict.fromkeys(entries, 0)
    families = families_of(entries, product)
    steps = {id_: _step(entry, product, families) for id_, entry in entries.items()}
    return {id_: step for id_, step in steps.items() if step is not None}


def product_of(entry: Entry, product: str | None) -> str:
    """The product among those an entry names, as it is written there; else the first one, else the family."""
    names = [name for name in entry.products if product and same_product(name, product)]
    return [*names, *entry.products, entry.family][0]


def families_of(entries: Mapping[str, Entry], product: str) -> set[str]:
    """The families of the entries that name a product, or of this name; none for a product that no entry knows."""
    return {
        entry.family
        for entry in entries.values()
        if same_product(entry.family, product) or any(same_product(name, product) for name in entry.products)
    }


def _step(entry: Entry, product: str, families: set[str]) -> int | None:
    if any(same_product(name, product) for name in entry.products):
        return 0
    if entry.products and not same_product(entry.family, product):
        return None
    if entry.family == GENERAL:
        return 2
    return 1 if entry.family in families else None


def same_product(name: str, other: str) -> bool:
    """Whether two names differ only in case, spaces, hyphens and underscores."""
    return _plain(name) == _plain(other)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()
