"""Detectors: picture in, AnomalyMap out; every score comes with the normal range of its product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Pose = Literal["auto", "fixed", "turned", "flipped"]

BEYOND = 0.08  # share of good parts that score above the limit


@dataclass(frozen=True)
class Calibration:
    """The normal range of a product, in the detector's raw units.

    Scores of good parts follow a t-distribution with `freedom` degrees of freedom and the scale `spread`, placed so
    that eight good parts in a hundred score above `limit`. `certainty` is the log-odds that no score exceeds, `method`
    says in words what the range was taken from, `normals` how many references, `left_out` the score of each reference
    that was judged by the others.
    """

    limit: float
    spread: float
    freedom: float
    certainty: float
    method: str
    normals: int
    left_out: tuple[float, ...] = ()
    map_limit: float | None = None

    @property
    def pixel_limit(self) -> float:
        """Where a pixel of the map leaves the normal range: `limit`, unless the map has units of its own."""
        return self.limit if self.map_limit is None else self.map_limit

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Calibration:
        """What `plain` wrote under "calibration"; KeyError or TypeError for anything else."""
        kept = settings["calibration"]
        return cls(**{**kept, "left_out": tuple(kept["left_out"])})

    def plain(self) -> dict[str, Any]:
        """The fields as plain JSON."""
        return {**asdict(self), "left_out": list(self.left_out)}

    def tail(self, score: float) -> float:
        """Share (0-1) of good parts that score at least this much."""
        from scipy.special import stdtr, stdtrit

        at_limit = -float(stdtrit(self.freedom, BEYOND))
        return float(stdtr(self.freedom, -(at_limit + (score - self.limit) / self.spread)))

    def probability(self, score: float) -> float:
        """Probability of a defect, 0.5 at the limit, rising with the score, never beyond what `certainty` allows.

        Bayes' rule for a score at least this high, with eight defective parts to a hundred good ones and defects that
        always reach it. Few references leave a heavy tail, and so no score makes certain.
        """
        odds = np.log(BEYOND / max(self.tail(score), 1e-12))
        return float(1 / (1 + np.exp(-self.certainty * np.tanh(odds / self.certainty))))


@dataclass(frozen=True, eq=False)
class AnomalyMap:
    """Anomaly scores of one picture.

    `scores` is (H, W) float32 at the picture's own size, `image_score` the raw score of the whole picture, both in
    the detector's units, `detector` its name. Nothing is normalised per picture. `words` say what its places mean where
    they are not what lies beyond a normal range.
    """

    scores: Floats
    image_score: float
    detector: str
    calibration: Calibration
    words: str = ""

    @property
    def above_normal(self) -> bool:
        """Whether the picture lies beyond the normal range."""
        return self.image_score > self.calibration.limit

    @property
    def probability(self) -> float:
        """Calibrated probability of a defect, 0-1."""
        return self.calibration.probability(self.image_score)


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a profile keeps of a fitted detector: `arrays` by name, and `settings` that are plain JSON.

    `settings["calibration"]` holds what `Calibration.of` reads.
    """

    arrays: dict[str, npt.NDArray[Any]]
    settings: dict[str, Any]


class Detector(Protocol):
    """A detector with the normal range of one product; pictures are upright RGB (H, W, 3) uint8 of any size."""

    @property
    def calibration(self) -> Calibration: ...

    def score(self, pixels: Pixels) -> AnomalyMap:
        """The map of one picture, of the picture's height and width."""
        ...

    def score_batch(self, pictures: Sequence[Pixels]) -> list[AnomalyMap]:
        """The maps of several pictures, equal to those of `score`; faster where the detector runs on a GPU."""
        ...

    def fitted(self) -> Fitted:
        """What `Method.restored` makes an equal detector from."""
        ...


class Method(Protocol):
    """A way to detect with its weights: `name` tells method, version of its mathematics and weights."""

    @property
    def name(self) -> str: ...

    def fit(self, references: Sequence[Pixels], *, product: str | None = None, pose: Pose = "auto") -> Detector:
        """A detector of the product whose good parts are `references` (0..N, read once, in order).

        `pose` says how good parts lie: always alike, turned in the plane, turned or flipped over; auto finds out
        whether they are turned. Methods that see no orientation ignore it.
        """
        ...

    def restored(self, fitted: Fitted) -> Detector:
        """The detector that `fitted` was taken from; KeyError, TypeError or ValueError when it does not fit."""
        ...
