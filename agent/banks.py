"""Detectors fitted to the references of an inspection, kept in the home so that the next one starts at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from knowledge_base.files import write_atomically
from tools.detectors import Fitted

MOST = 20  # banks kept, the ones used last


class Banks:
    """Fitted detectors in `folder`, by what they were made of; a broken or missing one is None."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, made_of: Sequence[str]) -> Fitted | None:
        """The detector made of exactly this."""
        from safetensors import SafetensorError, safe_open

        path = self._path(made_of)
        try:
            with safe_open(path, "numpy") as file:
                settings = json.loads(file.metadata()["settings"])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            path.touch()
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None
        return Fitted(arrays, settings)

    def write(self, made_of: Sequence[str], fitted: Fitted) -> None:
        """Keep a detector, and forget those that were not used for longest."""
        from safetensors.numpy import save

        self.folder.mkdir(exist_ok=True)
        write_atomically(self._path(made_of), save(dict(fitted.arrays), {"settings": json.dumps(fitted.settings)}))
        kept = sorted(self.folder.glob("*.safetensors"), key=lambda path: -path.stat().st_mtime)
        for path in kept[MOST:]:
            path.unlink(missing_ok=True)

    def _path(self, made_of: Sequence[str]) -> Path:
        return self.folder / f"{hashlib.sha256(repr(list(made_of)).encode()).hexdigest()[:24]}.safetensors"
