"""The answers of a run on disk: a line a picture, appended as they come, and the setup that they were made with."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evals.dataset import DatasetError
from knowledge_base.files import write_atomically

ANSWERS = "answers.jsonl"
SETUP = "setup.json"


@dataclass(frozen=True)
class Answered:
    """One question: what was asked, the right letter, and what was said; `letter` when it was named by a call."""

    question: str
    options: dict[str, str]
    right: str
    subtask: str
    letter: str | None = None
    reply: str = ""


@dataclass(frozen=True)
class AnsweredImage:
    """All answers on one picture. `score` is the fused probability of a defect, None without an inspection.

    `failure` says why the picture could not be inspected; `zero_shot` that a template was asked for and missing;
    `iou` (0-1) and `pointed` compare the regions and the hottest one with the mask, None where there is none.
    """

    key: str
    dataset: str
    product: str
    anomalous: bool
    questions: tuple[Answered, ...]
    runs: tuple[str, ...] = ()
    failure: str = ""
    zero_shot: bool = False
    score: float | None = None
    verdict: str | None = None
    iou: float | None = None
    pointed: bool | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    turns: int = 0
    tool_calls: int = 0
    tool_call_rate: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    degraded: tuple[str, ...] = ()


class AnswerLog:
    """The folder of a run. A process that was killed leaves at most one broken last line, which is cut off."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, setup: dict[str, Any], resume: bool) -> set[str]:
        """Keys that are answered already; DatasetError when the folder holds another run, or one not to be resumed."""
        before = self._setup()
        if before is None or not (self.folder / ANSWERS).exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / SETUP, json.dumps(setup, ensure_ascii=False, indent=1).encode())
            return set()
        if not resume:
            raise DatasetError(self.folder, "holds a run", "go on with --resume, or choose another --out")
        differing = [name for name in setup if before.get(name) != setup[name]]
        if differing:
            raise DatasetError(
                self.folder, f"was made with another {', '.join(differing)}", "resume with the same options"
            )
        self._mend()
        return {image.key for image in self.images()}

    def append(self, image: AnsweredImage) -> None:
        """Write one picture's answers through to the disk."""
        with (self.folder / ANSWERS).open("ab") as file:
            file.write(json.dumps(asdict(image), ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def setup(self) -> dict[str, Any]:
        """What the answers were made with; DatasetError when there is no run."""
        found = self._setup()
        if found is None:
            raise DatasetError(self.folder, "holds no run", "name the folder given to `flawlens mmad run --out`")
        return found

    def images(self) -> Sequence[AnsweredImage]:
        """Every picture that was answered, in the order of the keys: workers end in any order."""
        return sorted(self._lines(), key=lambda image: image.key)

    def _lines(self) -> Iterator[AnsweredImage]:
        path = self.folder / ANSWERS
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
            if line.endswith(b"\n"):
                found = json.loads(line)
                questions = tuple(Answered(**question) for question in found.pop("questions"))
                runs, degraded = tuple(found.pop("runs")), tuple(found.pop("degraded"))
                yield AnsweredImage(**found, questions=questions, runs=runs, degraded=degraded)

    def _mend(self) -> None:
        path = self.folder / ANSWERS
        if path.exists() and not (whole := path.read_bytes()).endswith(b"\n"):
            write_atomically(path, whole[: whole.rfind(b"\n") + 1])

    def _setup(self) -> dict[str, Any] | None:
        path = self.folder / SETUP
        if not path.exists():
            return None
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found
