"""What became of one picture of a folder, and what all of them come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from agent.record import path_text
from agent.trace import Run

State = Literal["normal", "defective", "uncertain", "failed"]
STATES: Sequence[State] = get_args(State)
FORMAT = "flawlens-batch-1"
DEFECT = ("type", "severity", "place", "box")


@dataclass(frozen=True)
class Result:
    """One inspected picture; `state` is the verdict, or failed where there is none.

    A run without a submitted diagnosis is uncertain. `picture` is the run's own copy of the part, for a thumbnail;
    `expected` tells a bad file from a fault of the program.
    """

    file: str
    state: State
    seconds: float
    run_id: str = ""
    verdict: str | None = None
    confidence: float | None = None
    scores: Mapping[str, float | None] = field(default_factory=dict)
    disposition: str | None = None
    defects: Sequence[Mapping[str, Any]] = ()
    outcome: str = ""
    error: str = ""
    expected: bool = True
    picture: Path | None = None

    @property
    def reason(self) -> str:
        """Why a person has to look at it."""
        submitted = self.outcome == "submitted"
        return self.error or ("the evidence does not decide" if submitted else f"no valid answer: {self.outcome}")

    def record(self) -> dict[str, Any]:
        """Plain values, as one line of results.jsonl."""
        told = {key: value for key, value in asdict(self).items() if key not in ("picture", "expected")}
        return {**told, "defects": [dict(defect) for defect in self.defects]}


@dataclass(frozen=True)
class Batch:
    """A folder that was inspected; `pictures` were found, fewer than these have a result when it was `stopped`.

    `skipped` files are no pictures.
    """

    folder: Path
    pictures: int
    skipped: int
    results: tuple[Result, ...]
    stopped: bool = False

    @property
    def counts(self) -> dict[State, int]:
        found = Counter(result.state for result in self.results)
        return {state: found[state] for state in STATES}

    def share(self, state: State) -> float:
        """The share (0-1) of a state in all inspected pictures; that of normal ones is the yield."""
        return self.counts[state] / len(self.results) if self.results else 0.0

    @property
    def surprised(self) -> bool:
        """Whether an error was none of those that are for a person."""
        return any(not result.expected for result in self.results)

    @property
    def attention(self) -> list[Result]:
        """What a person has to look at."""
        return [result for result in self.results if result.state in ("uncertain", "failed")]

    @property
    def defects(self) -> list[tuple[str, int, float]]:
        """Types of the defects on defective parts, most frequent first, each with count and cumulative share (0-1)."""
        types = [defect["type"] for one in self.results if one.state == "defective" for defect in one.defects]
        ranked = sorted(Counter(map(str.casefold, types)).items(), key=lambda pair: (-pair[1], pair[0]))
        whole = len(types)
        return [(name, count, sum(n for _, n in ranked[:rank]) / whole) for rank, (name, count) in enumerate(ranked, 1)]

    @property
    def dispositions(self) -> list[tuple[str, int]]:
        """Proposed dispositions, most frequent first; "none" where nothing was inspected."""
        return Counter(result.disposition or "none" for result in self.results).most_common()

    def summary(self) -> dict[str, Any]:
        """Plain values of the whole; shares are of all inspected pictures."""
        return {
            "format": FORMAT,
            "folder": path_text(self.folder),
            "pictures": self.pictures,
            "skipped_files": self.skipped,
            "inspected": len(self.results),
            "stopped": self.stopped,
            "counts": self.counts,
            "shares": {state: round(self.share(state), 4) for state in STATES},
            "yield": round(self.share("normal"), 4),
            "defects": [{"type": name, "count": n, "cumulative": round(part, 4)} for name, n, part in self.defects],
            "dispositions": dict(self.dispositions),
            "needs_a_person": [result.file for result in self.attention],
            "seconds": round(sum(result.seconds for result in self.results), 3),
        }


def result_of(path: Path, run: Run) -> Result:
    """What a finished run says of a picture."""
    diagnosis = run.diagnosis
    assert diagnosis is not None
    image = run.images.get("part")
    inspected = diagnosis["outcome"] != "answered"
    return Result(
        file=path_text(Path(path.name)),
        state=diagnosis["verdict"] if diagnosis["outcome"] == "submitted" else "uncertain",
        seconds=diagnosis["seconds"],
        run_id=run.id,
        verdict=diagnosis["verdict"],
        confidence=diagnosis["confidence"],
        scores={name: None if one is None else round(one, 4) for name, one in diagnosis["scores"].items()},
        disposition=diagnosis["repair"]["disposition"] if inspected else None,
        defects=[{name: defect[name] for name in DEFECT} for defect in diagnosis["defects"]],
        outcome=diagnosis["outcome"],
        picture=run.folder / "pictures" / Path(image["file"]).name if image else None,
    )


def failed(path: Path, error: Exception, seconds: float, *, expected: bool) -> Result:
    """A picture that has no diagnosis, with the reason in one line."""
    reason = str(error) if expected else f"{type(error).__name__}: {error}"
    line = " ".join(reason.split()) or type(error).__name__
    return Result(path_text(Path(path.name)), "failed", round(seconds, 3), error=line, expected=expected)
