"""Which entries and documents speak of a product, and how closely."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, Protocol

GENERAL: Final = "general"


class Item(Protocol):
    """What is known: an entry, or a chunk of a document."""

    @property
    def id(self) -> str: ...

    @property
    def products(self) -> tuple[str, ...]: ...

    @property
    def family(self) -> str: ...


class ProductMap:
    """Items by the products and families that they are about."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._named: defaultdict[str, list[str]] = defaultdict(list)
        self._of_family: defaultdict[str, list[str]] = defaultdict(list)
        self._of_whole_family: defaultdict[str, list[str]] = defaultdict(list)
        self._families: defaultdict[str, set[str]] = defaultdict(set)
        for item in items:
            family = _plain(item.family)
            self._of_family[family].append(item.id)
            if not item.products:
                self._of_whole_family[family].append(item.id)
            for name in map(_plain, item.products):
                self._named[name].append(item.id)
                self._families[name].add(family)

    def closeness(self, product: str | None) -> dict[str, int] | None:
        """How close each item is to a product, 0 nearest; items of other products and families are left out.

        0: names the product. 1: holds for the whole family of the items that name it (or is of this family, when
        `product` is the name of one). 2: is general. Of a product that no item knows only the general ones speak.
        Without a product all are equally close: None.
        """
        if not (product and product.strip()):
            return None
        name = _plain(product)
        steps = dict.fromkeys(self._of_whole_family[GENERAL], 2)
        for family in self._families_of(name) - {GENERAL}:
            steps |= dict.fromkeys(self._of_whole_family[family], 1)
        steps |= dict.fromkeys(self._of_family.get(name, ()), 2 if name == GENERAL else 1)
        return steps | dict.fromkeys(self._named.get(name, ()), 0)

    def knows(self, product: str) -> bool:
        """Whether any item speaks of this product or is of a family of this name."""
        return bool(self._families_of(_plain(product)))

    def _families_of(self, name: str) -> set[str]:
        return self._families.get(name, set()) | ({name} if name in self._of_family else set())


def product_of(item: Item, product: str | None) -> str:
    """The product among those an item names, as it is written there; else the first one, else the family."""
    names = [name for name in item.products if product and same_product(name, product)]
    return [*names, *item.products, item.family][0]


def same_product(name: str, other: str) -> bool:
    """Whether two names differ only in case, spaces, hyphens and underscores."""
    return _plain(name) == _plain(other)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()
