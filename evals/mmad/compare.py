"""Two runs over the same questions: what one has over the other, and whether it is more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evals.mmad.answers import AnsweredImage
from evals.mmad.scores import AVERAGE, drawn_again, interval, mark, table


@dataclass(frozen=True)
class Paired:
    """`gain` in points of the average, with its 95 % interval over pictures; answers that only one run has right.

    `p` is McNemar's exact test over these answers, which takes the answers as independent.
    """

    images: int
    questions: int
    gain: float
    interval: tuple[float, float]
    only_first: int
    only_second: int
    p: float


def paired(first: Sequence[AnsweredImage], second: Sequence[AnsweredImage], reader: str = "strict") -> Paired | None:
    """What `second` has over `first` on the pictures that both answered with the same questions; None without any."""
    from scipy.stats import binomtest

    theirs = {image.key: image for image in second}
    common = [image for image in first if image.key in theirs and _asked(image) == _asked(theirs[image.key])]
    before, after = mark(common, reader), mark([theirs[image.key] for image in common], reader)
    if not before:
        return None
    gains = [
        new[AVERAGE] - old[AVERAGE]
        for old, new in zip(drawn_again(before, len(common)), drawn_again(after, len(common)), strict=True)
    ]
    low, high = interval(gains)
    pairs = [(one.correct, other.correct) for one, other in zip(before, after, strict=True)]
    only_first, only_second = pairs.count((True, False)), pairs.count((False, True))
    differing = only_first + only_second
    return Paired(
        images=len(common),
        questions=len(before),
        gain=table(after)[AVERAGE][AVERAGE] - table(before)[AVERAGE][AVERAGE],
        interval=(low, high),
        only_first=only_first,
        only_second=only_second,
        p=float(binomtest(only_first, differing).pvalue) if differing else 1.0,
    )


def _asked(image: AnsweredImage) -> list[tuple[str, str]]:
    return [(one.question, one.right) for one in image.questions]
