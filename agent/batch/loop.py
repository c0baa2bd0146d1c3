"""Every picture of a folder, one after the other; what is done is on disk at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from agent.batch.results import Batch, Result, failed, result_of
from agent.trace import Run, RunError
from tools.image import images_in

LEDGER = "results.jsonl"
Inspect = Callable[[Path], Run]
Errors = tuple[type[Exception], ...]


class Watch(Protocol):
    """Somebody who is told what goes on."""

    def begin(self, path: Path) -> None: ...

    def done(self, result: Result) -> None: ...


@dataclass(frozen=True)
class Found:
    """The pictures of a folder, sorted, and how many other files it has."""

    folder: Path
    pictures: Sequence[Path]
    skipped: int


def pictures_in(folder: Path) -> Found:
    """What there is to inspect; ImageError for a folder without a picture."""
    pictures, skipped = images_in(folder)
    return Found(folder, pictures, len(skipped))


def place_for(home: Path, out: Path | None) -> Path:
    """The folder for the results, made; RunError when it cannot be or holds other results."""
    place = out or home / "batches" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    number = 1
    while out is None and place.exists():
        number += 1
        place = place.with_name(f"{place.name.split('_')[0]}_{number}")
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(place, f"cannot be made ({error.strerror})", "choose another folder with --out") from error
    if (place / LEDGER).exists():
        raise RunError(place, f"already holds {LEDGER}", "choose another folder with --out")
    return place


def inspect_folder(found: Found, inspect: Inspect, place: Path, watch: Watch, expected: Errors) -> Batch:
    """Inspects pictures and writes a line for each into results.jsonl as soon as it is done.

    An error is the result of its picture and stops nothing; those that are not `expected` are marked. An interrupt
    ends the loop, and what is done stays.
    """
    results: list[Result] = []
    stopped = False
    try:
        for path in found.pictures:
            watch.begin(path)
            result = _inspected(path, inspect, expected)
            _append(place / LEDGER, result)
            results.append(result)
            watch.done(result)
    except KeyboardInterrupt:
        stopped = True
    return Batch(found.folder, len(found.pictures), found.skipped, tuple(results), stopped)


def _inspected(path: Path, inspect: Inspect, expected: Errors) -> Result:
    started = time.perf_counter()
    try:
        return result_of(path, inspect(path))
    except Exception as error:
        return failed(path, error, time.perf_counter() - started, expected=isinstance(error, expected))


def _append(path: Path, result: Result) -> None:
    """One line in one write, so that an interrupt leaves whole lines."""
    line = json.dumps(result.record(), ensure_ascii=False) + "\n"
    try:
        with path.open("ab", buffering=0) as file:
            file.write(line.encode("utf-8", "backslashreplace"))
    except OSError as error:
        cause = f"cannot be written ({error.strerror})"
        raise RunError(path, cause, "free some space or choose another folder with --out") from error
