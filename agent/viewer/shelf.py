"""What may be read of a home's runs: runs of the known form, and pictures that lie in them."""

from __future__ import annotations

import re
from pathlib import Path

from agent.trace import Run, RunError, read_run

RUN = re.compile(r"[0-9a-z-]+")
PICTURE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\.(?:jpg|png)")


def run_of(runs: Path, id_: str, *, events: bool = True) -> Run:
    """The run with exactly this id; RunError also for a link and for a run.json of another form."""
    folder = runs / id_
    if not RUN.fullmatch(id_) or folder.is_symlink() or not folder.is_dir():
        raise RunError(runs, "there is no such run", "choose one in the list")
    run = read_run(runs, id_, events=events)
    if not _formed(run):
        raise RunError(folder, "not a run of a known form", "remove the folder if it is of no use")
    return run


def picture_of(folder: Path, name: str) -> Path | None:
    """File of a picture of the run in `folder`; None for any other name and for a link that leads elsewhere."""
    path = folder / "pictures" / name
    if not RUN.fullmatch(folder.name) or not PICTURE.fullmatch(name):
        return None
    linked = any(one.is_symlink() for one in (folder, path.parent, path))
    return path if path.is_file() and not linked else None


def _formed(run: Run) -> bool:
    """Whether a run has what every page of it needs."""
    asked, setup, told = run.inspection, run.setup, run.diagnosis
    return (
        isinstance(asked, dict)
        and isinstance(asked.get("image"), str)
        and isinstance(asked.get("references"), list)
        and isinstance(asked.get("product"), str | None)
        and isinstance(setup, dict)
        and isinstance(setup.get("planner"), str)
        and isinstance(run.started, str)
        and (told is None or (isinstance(told, dict) and {"verdict", "outcome", "defects", "evidence"} <= told.keys()))
    )
