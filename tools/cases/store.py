"""Cases in the home: one JSON file each, with the looks of its picture and of its marks beside it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from knowledge_base.files import write_atomically
from knowledge_base.products import same_product
from tools.cases import Case
from tools.detectors import Floats

WHOLE = "whole"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Remembered:
    """A case with its looks: `whole` and, for each recognised mark, `mark_<number>`."""

    case: Case
    looks: Mapping[str, Floats]


class Cases:
    """The cases in `folder`; a damaged one is told in the log and left out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list(self) -> Sequence[Case]:
        """All cases, newest first."""
        found = [case for path in self.folder.glob("*.json") if (case := _read(path))]
        return sorted(found, key=lambda case: case.at, reverse=True)

    def of(self, product: str | None) -> Sequence[Case]:
        """The cases of a product, newest first; those without one when none is named."""
        return [case for case in self.list() if _same(case.product, product)]

    def one(self, id_: str) -> Case | None:
        """The case of a run, without a look at the others."""
        path = self.folder / f"{id_}.json"
        found = _read(path) if path.is_file() else None
        return found if found and found.id == id_ else None

    def recall(self, product: str | None) -> Sequence[Remembered]:
        """The cases of a product with their looks."""
        return [Remembered(case, looks) for case in self.of(product) if (looks := self._looks(case.id))]

    def keep(self, case: Case, looks: Mapping[str, Floats]) -> None:
        """Writes a case, in the place of an older word on the same run."""
        from safetensors.numpy import save

        self.folder.mkdir(parents=True, exist_ok=True)
        arrays = {name: look.astype(np.float16) for name, look in looks.items()}
        write_atomically(self.folder / f"{case.id}.safetensors", save(arrays))
        write_atomically(self.folder / f"{case.id}.json", case.model_dump_json(indent=1).encode())

    def forget(self, id_: str) -> bool:
        """Removes a case; whether there was one."""
        if id_ not in {case.id for case in self.list()}:
            return False
        for suffix in (".json", ".safetensors"):
            (self.folder / f"{id_}{suffix}").unlink(missing_ok=True)
        return True

    def _looks(self, id_: str) -> dict[str, Floats]:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            looks = load_file(self.folder / f"{id_}.safetensors")
        except (OSError, SafetensorError) as error:
            _LOG.warning("case %s: its looks cannot be read (%s); give the feedback again", id_, error)
            return {}
        return {name: look.astype(np.float32) for name, look in looks.items()}


def _read(path: Path) -> Case | None:
    try:
        return Case.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        _LOG.warning("%s is no readable case (%s); remove it", path, type(error).__name__)
        return None


def _same(one: str | None, other: str | None) -> bool:
    return one == other if one is None or other is None else same_product(one, other)
