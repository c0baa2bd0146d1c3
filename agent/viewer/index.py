"""What a list of runs shows, kept in one SQLite file beside the runs, so that 10,000 of them are listed at once.

The runs are the truth. A run is read again when its run.json has changed; a damaged file is made again.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agent.trace import Run, RunError
from agent.viewer.shelf import RUN, run_of

T = TypeVar("T")
FILE = "index.sqlite"
VERSION = 1
PAGE = 50  # runs on one page of the list
SORTS = {
    "newest": "id DESC",
    "oldest": "id ASC",
    "score": "fused IS NULL, fused DESC",
    "slowest": "seconds IS NULL, seconds DESC",
    "product": "product, id DESC",
}
COLUMNS = ("id", "changed", "state", "started", "image", "product", "planner", "fused", "seconds", "thumb", "words")
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS runs ({", ".join(COLUMNS)}, PRIMARY KEY (id));
CREATE INDEX IF NOT EXISTS by_state ON runs (state);
CREATE INDEX IF NOT EXISTS by_product ON runs (product);
CREATE INDEX IF NOT EXISTS by_planner ON runs (planner);
PRAGMA user_version = {VERSION};
"""


_LITERAL = re.compile(r"[%_\\]")


@dataclass(frozen=True)
class Asked:
    """What a list is asked for; empty fields ask for nothing. `page` counts from 1."""

    state: str = ""
    product: str = ""
    planner: str = ""
    words: str = ""
    sort: str = "newest"
    page: int = 1


@dataclass(frozen=True)
class Listed:
    """One page of a list: its rows, how many there are in all, and what can be chosen."""

    rows: Sequence[Mapping[str, Any]]
    total: int
    choices: Mapping[str, Sequence[tuple[str, int]]]


class RunIndex:
    """The index of the runs in `runs`; made and refreshed as it is asked."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._lock = threading.Lock()
        self._database, self._known = _opened(runs)

    def list(self, asked: Asked) -> Listed:
        """The runs that are asked for, those still going first."""
        return self._answer(lambda: self._listed(asked))

    def neighbours(self, id_: str) -> tuple[str | None, str | None]:
        """The ids of the next newer and the next older run."""
        return self._answer(lambda: (self._next("MIN", ">", id_), self._next("MAX", "<", id_)))

    def _answer(self, question: Callable[[], T]) -> T:
        """The answer of the refreshed index; it is made anew when its file has gone or turns out to be damaged."""
        with self._lock:
            try:
                if (self.runs / FILE).exists():
                    self._refresh()
                    return question()
            except sqlite3.OperationalError:
                raise  # locked or no space: a new file would not help
            except sqlite3.DatabaseError:
                (self.runs / FILE).unlink(missing_ok=True)
            self._database.close()
            self._database, self._known = _opened(self.runs)
            self._refresh()
            return question()

    def _listed(self, asked: Asked) -> Listed:
        where, values = _conditions(asked)
        order = f"state != 'running', {SORTS.get(asked.sort, SORTS['newest'])}"
        found = self._database.execute(
            f"SELECT {', '.join(COLUMNS)} FROM runs{where} ORDER BY {order} LIMIT ? OFFSET ?",
            (*values, PAGE, PAGE * (max(asked.page, 1) - 1)),
        ).fetchall()
        (total,) = self._database.execute(f"SELECT COUNT(*) FROM runs{where}", values).fetchone()
        choices = {name: self._choices(name) for name in ("state", "product", "planner")}
        return Listed([dict(zip(COLUMNS, row, strict=True)) for row in found], total, choices)

    def _next(self, nearest: str, beyond: str, id_: str) -> str | None:
        found = self._database.execute(f"SELECT {nearest}(id) FROM runs WHERE id {beyond} ?", (id_,)).fetchone()[0]
        return None if found is None else str(found)

    def _choices(self, column: str) -> Sequence[tuple[str, int]]:
        grouped = f"SELECT {column}, COUNT(*) FROM runs WHERE {column} != '' GROUP BY {column} ORDER BY 2 DESC"
        return self._database.execute(f"{grouped} LIMIT 200").fetchall()

    def _refresh(self) -> None:
        now = dict(_changes(self.runs, self._known))
        gone = self._known.keys() - now.keys()
        unsettled = {id_ for (id_,) in self._database.execute("SELECT id FROM runs WHERE state = 'running'")}
        changed = [id_ for id_, at in now.items() if self._known.get(id_) != at or id_ in unsettled]
        if not gone and not changed:
            return
        with self._database:
            self._database.executemany("DELETE FROM runs WHERE id = ?", [(id_,) for id_ in gone])
            self._database.executemany(
                f"INSERT OR REPLACE INTO runs VALUES ({', '.join('?' * len(COLUMNS))})",
                (_row(self.runs, id_, now[id_]) for id_ in changed),
            )
        self._known = now


def _opened(runs: Path) -> tuple[sqlite3.Connection, dict[str, int]]:
    """The database with the runs that it knows, made anew where it is damaged or of another version."""
    runs.mkdir(parents=True, exist_ok=True)
    path = runs / FILE
    for _ in range(2):
        database = sqlite3.connect(path, check_same_thread=False, timeout=10)
        try:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version in (0, VERSION):
                database.executescript(SCHEMA)
                database.execute(f"SELECT {', '.join(COLUMNS)} FROM runs LIMIT 1")
                return database, dict(database.execute("SELECT id, changed FROM runs"))
        except sqlite3.DatabaseError:
            pass
        database.close()
        path.unlink(missing_ok=True)
    raise RunError(path, "cannot be written", "choose another folder with --home")


def _changes(runs: Path, known: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Each run with the time of its last change, in nanoseconds."""
    with os.scandir(runs) as entries:
        for entry in entries:
            if entry.name not in known and (entry.is_symlink() or not RUN.fullmatch(entry.name)):
                continue
            try:
                # a Path for each would take most of a request's time
                yield entry.name, os.stat(f"{entry.path}/run.json").st_mtime_ns  # noqa: PTH116
            except OSError:
                continue


def _conditions(asked: Asked) -> tuple[str, list[str]]:
    chosen = {"state": asked.state, "product": asked.product, "planner": asked.planner}
    conditions = [f"{name} = ?" for name, value in chosen.items() if value]
    values = [value for value in chosen.values() if value]
    for word in asked.words.lower().split():
        conditions.append("words LIKE ? ESCAPE '\\'")
        values.append(f"%{_LITERAL.sub(_escaped, word)}%")
    return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), values


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


def _row(runs: Path, id_: str, changed: int) -> tuple[Any, ...]:
    try:
        return _told(run_of(runs, id_, events=False), changed)
    except (RunError, KeyError, TypeError, AttributeError):
        return (id_, changed, "unreadable", "", "", "", "", None, None, "", id_)


def _told(run: Run, changed: int) -> tuple[Any, ...]:
    diagnosis = run.diagnosis or {}
    image = run.picture_name
    product, planner = run.inspection["product"] or "", run.setup["planner"]
    types = [defect["type"] for defect in diagnosis.get("defects", [])]
    words = [
        run.id,
        image,
        product,
        planner,
        *types,
        diagnosis.get("summary", ""),
        diagnosis.get("repair", {}).get("disposition", ""),
    ]
    return (
        run.id,
        changed,
        state_of(run),
        run.started,
        image,
        product,
        planner,
        _number((diagnosis.get("scores") or {}).get("fused")),
        _number(diagnosis.get("seconds")),
        _thumb(run.folder),
        " ".join(words).lower(),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def state_of(run: Run) -> str:
    """The verdict, `answered`, or how a run stands that has none."""
    if run.diagnosis is None or run.status == "running":
        return run.status
    answered = run.diagnosis["outcome"] == "answered"
    return "answered" if answered else str(run.diagnosis["verdict"])


def _thumb(folder: Path) -> str:
    """File of the part's picture, from the first line of the trace."""
    try:
        with (folder / "events.jsonl").open(encoding="utf-8") as file:
            images = json.loads(file.readline())["update"]["images"]
        return str(next(image["file"] for image in images if image["id"] == "part"))
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return ""
