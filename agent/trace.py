"""A run on disk: runs/<id>/run.json, events.jsonl and pictures, readable after every step.

Format `flawlens-trace-1`. run.json is replaced atomically; events.jsonl grows by whole lines, so a killed process
leaves at most one broken last line, which is skipped. While a process works on a run it holds a lock on `lock`.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from langchain_core.messages import BaseMessage

from knowledge_base.files import write_atomically

FORMAT = "flawlens-trace-1"


class RunError(Exception):
    """A run that cannot be read or made: path, cause and remedy in one line."""

    def __init__(self, path: Path, cause: str, remedy: str) -> None:
        super().__init__(f"{path}: {cause}; {remedy}")


@dataclass(frozen=True)
class Event:
    """One step of the graph: `update` is what the node added to the state, as plain types."""

    step: int
    node: str
    at: float
    seconds: float
    update: dict[str, Any]

    @property
    def called(self) -> list[str]:
        """Names of the tools that are called in this step, each once."""
        calls = [call for message in self.update.get("messages", []) for call in message.get("tool_calls", [])]
        return list(dict.fromkeys(call["name"] for call in calls))


@dataclass(frozen=True)
class Run:
    """One inspection as it lies on disk; `status` is running, finished, failed, killed, or stopped where it can
    go on."""

    id: str
    folder: Path
    status: str
    started: str
    inspection: dict[str, Any]
    setup: dict[str, Any]
    error: str = ""
    diagnosis: dict[str, Any] | None = None
    events: tuple[Event, ...] = field(default=())

    @property
    def images(self) -> dict[str, dict[str, Any]]:
        """What intake says of each picture, by its id; nothing where the events were not read."""
        return {image["id"]: image for event in self.events for image in event.update.get("images", [])}

    @property
    def picture_name(self) -> str:
        """Name of the part's file, without its folders."""
        return re.split(r"[/\\]", self.inspection["image"])[-1]


class Trace:
    """Writes one run in its folder; closed by `finish` or `fail`."""

    def __init__(self, folder: Path, run: dict[str, Any], steps: int = 0) -> None:
        self.started = time.time()
        self.id = folder.name
        self.folder = folder
        self.pictures = folder / "pictures"
        self._lock = FileLock(folder / "lock", timeout=0)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise RunError(folder, "another process works on this run", "wait for it, or end it") from error
        self._run = {**run, "status": "running", "error": ""}
        self._steps = steps
        self._last = self.started
        self._write()

    @classmethod
    def new(cls, runs: Path, inspection: dict[str, Any], setup: dict[str, Any]) -> Trace:
        """A run of its own; RunError when the folder cannot be written."""
        id_ = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        try:
            (runs / id_ / "pictures").mkdir(parents=True)
        except OSError as error:
            raise RunError(
                runs, f"cannot be written ({error.strerror})", "choose another folder with --home"
            ) from error
        started = datetime.now(UTC).isoformat(timespec="seconds")
        run = {"format": FORMAT, "id": id_, "started": started, "inspection": inspection, "setup": setup}
        return cls(runs / id_, run)

    @classmethod
    def again(cls, runs: Path, identity: str) -> Trace:
        """Goes on with a run that had ended; RunError when it cannot be read or another process works on it."""
        run = read_run(runs, identity)
        saved = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
        return cls(run.folder, saved, len(run.events))

    def step(self, node: str, update: dict[str, Any]) -> Event:
        """Append one step of the graph; its seconds are those since the step before."""
        now = time.time()
        event = Event(self._steps, node, round(now - self.started, 4), round(now - self._last, 4), _plain(update))
        self._steps, self._last = self._steps + 1, now
        with (self.folder / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(event), ensure_ascii=False) + "\n")
        return event

    def describe(self, **setup: object) -> None:
        """Add to the run's setup what became known on the way."""
        self._run["setup"].update(setup)
        self._write()

    def finish(self, diagnosis: dict[str, Any]) -> None:
        """Write the diagnosis and let go of the run."""
        self._close({"status": "finished", "diagnosis": diagnosis})

    def fail(self, error: BaseException) -> None:
        """Say why the run ended without a diagnosis."""
        self._close({"status": "failed", "error": f"{type(error).__name__}: {error}"})

    def stop(self, why: str) -> None:
        """Let go of a run that can go on later."""
        self._close({"status": "stopped", "error": why})

    def _close(self, ending: dict[str, Any]) -> None:
        self._run.update(ending)
        self._write()
        self._lock.release()

    def _write(self) -> None:
        write_atomically(self.folder / "run.json", json.dumps(self._run, ensure_ascii=False, indent=1).encode())


def read_run(runs: Path, identity: str, *, events: bool = True) -> Run:
    """The run with this id, or the only one whose id begins so; RunError when there is none."""
    folder = _folder(runs, identity)
    try:
        saved = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        known = {key: saved.get(key) for key in ("inspection", "setup", "diagnosis", "started")}
        status, error = saved["status"], saved.get("error", "")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as fault:
        raise RunError(folder, f"not a readable run ({fault})", "remove the folder if it is of no use") from fault
    if status == "running" and not _locked(folder):
        status = "killed"
    steps = tuple(_events(folder)) if events else ()
    return Run(id=folder.name, folder=folder, status=status, error=error, events=steps, **known)


def list_runs(runs: Path) -> list[Run]:
    """All readable runs, newest first, without their events."""
    folders = sorted((path for path in runs.glob("*/run.json")), reverse=True) if runs.is_dir() else []
    return [run for path in folders if (run := _readable(runs, path.parent.name))]


def _readable(runs: Path, identity: str) -> Run | None:
    try:
        return read_run(runs, identity, events=False)
    except RunError:
        return None


def _folder(runs: Path, identity: str) -> Path:
    if identity == Path(identity).name and (runs / identity / "run.json").is_file():
        return runs / identity  # without a look at all the others
    names = [path.name for path in runs.iterdir() if path.is_dir()] if runs.is_dir() else []
    fitting = [name for name in names if name == identity] or [name for name in names if name.startswith(identity)]
    if len(fitting) != 1 or not identity:
        cause = f"{len(fitting)} runs begin with {identity!r}" if fitting else f"no run {identity!r}"
        raise RunError(runs, cause, "see `flawlens runs list`")
    return runs / fitting[0]


def _locked(folder: Path) -> bool:
    try:
        with FileLock(folder / "lock", timeout=0):
            return False
    except (Timeout, OSError):
        return True


def _events(folder: Path) -> Iterator[Event]:
    path = folder / "events.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            yield Event(**json.loads(line))
        except (ValueError, TypeError):
            return


def _plain(value: Any) -> Any:
    """Messages become dicts; an artifact is left out of its message, since it is filed as evidence beside it."""
    if isinstance(value, BaseMessage):
        kept = value.model_dump(exclude={"artifact", "response_metadata", "additional_kwargs"})
        return {key: item for key, item in kept.items() if item not in (None, [], {}, "")} | {"content": value.content}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
