"""Enrolling a product: its good parts become a detector with a normal range, its defects the band for review."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from tools.detectors import Calibration, Detector, Method, Pixels, Pose
from tools.drawing import at_most
from tools.image import ImageError, LoadedImage, list_images, load_image
from tools.profiles import Knowledge, Picture, Profile, ProfileError
from tools.profiles.store import Profiles, arrays_of, picture_of

KEPT = 4  # good parts kept as pictures, the most typical ones
LONGEST = 2048  # pixels of a kept picture
OUTLYING = 4.0  # robust standard deviations beyond which a normal looks defective
FEWEST_TO_TELL = 5  # judged normals

Tick = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """What a product is enrolled with: names of detector and backbone, how parts lie, the scale, an expert's text."""

    detector: str = "few-shot"
    backbone: str = "onnx"
    pose: Pose = "auto"
    mm_per_pixel: float | None = None
    knowledge: Knowledge | None = None


class Pictures(Sequence[Pixels]):
    """Readable pictures of a folder, decoded when asked for, so that memory holds one; `tick` hears of each."""

    def __init__(self, images: Sequence[tuple[Path, str]], tick: Tick) -> None:
        self.images, self.tick = images, tick
        self._told: set[int] = set()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Pixels:  # type: ignore[override]
        path = self.images[index][0]
        pixels = load_image(path).pixels
        if index not in self._told:
            self._told.add(index)
            self.tick(path.name)
        return pixels


@dataclass
class Found:
    """The usable pictures of a folder with their sha256, and what was left out, in words."""

    images: list[tuple[Path, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def survey(folder: Path, tick: Tick) -> Found:
    """Find the pictures of a folder and the folders below; unreadable ones and copies are left out and named."""
    paths, _ = list_images(folder, recursive=True)
    found, seen = Found(), dict[str, str]()
    for path in paths:
        tick(path.name)
        image = _readable(path, found.notices)
        if image is None:
            continue
        if image.sha256 in seen:
            found.notices.append(f"{path.name} has the same bytes as {seen[image.sha256]}: used once")
            continue
        seen[image.sha256] = path.name
        found.images.append((path, image.sha256))
    if not found.images:
        raise ProfileError(folder, "no readable picture", "name a folder with pictures")
    return found


def _readable(path: Path, notices: list[str]) -> LoadedImage | None:
    try:
        return load_image(path)
    except ImageError as error:
        notices.append(f"left out: {error}")
        return None


def enroll(
    profiles: Profiles, name: str, method: Method, wish: Wish, normals: Found, defects: Found | None, tick: Tick
) -> Profile:
    """Fit the detector to the normals, place the review band by the defects, and keep it all.

    Memory is bounded however many normals there are: they are read one at a time.
    """
    profiles.place(name)
    detector = method.fit(Pictures(normals.images, tick), product=name, pose=wish.pose)
    calibration = detector.calibration
    judged = _judged(calibration, len(normals.images))
    scored = _scored(detector, defects, tick)
    review, weight = _band(calibration, scored)
    fitted = detector.fitted()
    arrays, content = arrays_of(fitted)
    files = {arrays: content}
    kept = dict(_kept(normals, judged, files))
    limit = calibration.limit
    profile = Profile(
        name=name,
        detector=wish.detector,
        backbone=wish.backbone,
        made_with=method.name,
        flawlens=version("flawlens"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        pose=wish.pose,
        mm_per_pixel=wish.mm_per_pixel,
        review=review,
        detector_weight=weight,
        normals=[
            Picture(file=path.name, sha256=sha, score=_in_limits(judged.get(index), limit), kept=kept.get(index))
            for index, (path, sha) in enumerate(normals.images)
        ],
        defects=[
            Picture(file=path.name, sha256=sha, score=_in_limits(score, limit))
            for (path, sha), score in zip(defects.images if defects else [], scored, strict=True)
        ],
        notices=[*normals.notices, *(defects.notices if defects else []), *_doubts(normals, judged, calibration)],
        settings=fitted.settings,
        arrays=arrays,
        knowledge=wish.knowledge,
    )
    profiles.save(profile, files)
    return profile


def _judged(calibration: Calibration, count: int) -> dict[int, float]:
    """The left-out score of each judged normal by its place; evenly spread where not all were judged."""
    scores = calibration.left_out
    every = -(-count // len(scores)) if scores else 1
    return {index * every: score for index, score in enumerate(scores)}


def _scored(detector: Detector, defects: Found | None, tick: Tick) -> list[float]:
    pictures: Iterator[Pixels] = iter(Pictures(defects.images, tick)) if defects else iter(())
    return [detector.score(pixels).image_score for pixels in pictures]


def _band(calibration: Calibration, defects: Sequence[float]) -> tuple[tuple[float, float] | None, float | None]:
    """Probabilities of the lowest defects and the highest normals, and the detector's weight by how it ranks them."""
    normals = calibration.left_out
    if not defects or not normals:
        return None, None
    low_defect = calibration.probability(float(np.quantile(defects, 0.05)))
    high_normal = calibration.probability(float(np.quantile(normals, 0.95)))
    ranked = np.mean([[(d > n) + (d == n) / 2 for n in normals] for d in defects])
    return (round(low_defect, 4), round(high_normal, 4)), round(0.25 + 0.5 * max(0.0, 2 * float(ranked) - 1), 3)


def _kept(normals: Found, judged: dict[int, float], files: dict[str, bytes]) -> Iterator[tuple[int, str]]:
    """Copies of the most typical normals, put into `files`."""
    ranked = sorted(judged, key=lambda index: judged[index]) or list(range(len(normals.images)))
    for index in ranked[:KEPT]:
        packed = io.BytesIO()
        Image.fromarray(at_most(load_image(normals.images[index][0]).pixels, LONGEST)).save(packed, "PNG")
        name = picture_of(packed.getvalue())
        files[name] = packed.getvalue()
        yield index, name


def _doubts(normals: Found, judged: dict[int, float], calibration: Calibration) -> list[str]:
    """Normals that the others find unlike themselves."""
    if len(judged) < FEWEST_TO_TELL:
        return []
    scores = np.array(list(judged.values()))
    deviation = 1.4826 * float(np.median(np.abs(scores - np.median(scores))))
    edge = max(calibration.limit, float(np.median(scores)) + OUTLYING * deviation)
    return [
        f"{normals.images[index][0].name} looks defective or like another product:"
        f" {score / calibration.limit:.2f} times the limit against the other normals"
        for index, score in judged.items()
        if score > edge
    ]


def _in_limits(score: float | None, limit: float) -> float | None:
    return None if score is None else round(score / limit, 4)


def summary(profile: Profile) -> Counter[str]:
    """How many pictures a profile was made from, by kind."""
    return Counter(normals=len(profile.normals), defects=len(profile.defects))
