"""The part against a good reference: lay over, even out the light, find what no small error explains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.pixels import Pixels
from tools.registration import Fit, Matrix, Plane, blurred, gradient, register, shrink, smooth, view

Mask = NDArray[np.bool_]
Value = TypeVar("Value", np.uint8, np.float32)

WORK_SIDE = 768
DRIFT_SIDES, DRIFT_ROUNDS, DRIFT_STIFFNESS, DRIFT_BORDER = (160, 320), 3, 0.005, 4
BORDER = 5
AGREEMENT_SIDE, AGREES, MIN_AGREEMENT = 384, 0.8, 0.15
REACH = 2
BASE, NOISE, EDGE = 18.0, 5.0, 0.15
LARGEST_NOISE = 8.0
CLIPPED, TRUST_IN_CLIPPED = 250, 0.03
SPREAD = 2.0
MIN_AREA, JOIN = 12, 5
CLEARLY_MORE = 1.5
FEW_REGIONS, MANY_REGIONS, LARGE = 4, 18, 0.01


@dataclass(frozen=True)
class DifferenceRegion:
    """One place where the part differs.

    `box` is (x0, y0, x1, y1) in part pixels, x1 and y1 outside; `peak` is in units of the limit; `brightness_change`
    is the mean of part minus reference in grey levels (-255 to 255), light evened out; `kind` says which shows more
    structure there: the reference ("missing"), the part ("extra") or neither clearly ("changed").
    """

    box: tuple[int, int, int, int]
    area_px: int
    peak: float
    brightness_change: float
    kind: Literal["missing", "extra", "changed"]


@dataclass(frozen=True)
class Comparison:
    """`difference` (H, W) float32 of the part's size: 1.0 is the edge of what noise and registration error explain.

    `regions` are the places beyond it, largest and strongest first; of more places than one product can believably
    show, only the large ones. When `fit.refused` gives a reason, nothing was compared: zeros and no regions.
    """

    fit: Fit
    difference: Plane
    regions: tuple[DifferenceRegion, ...]


@dataclass(frozen=True)
class _Overlay:
    """The part and, in its frame, the reference; `sources` (2, h, w) are the places x and y in the reference."""

    part: Pixels
    laid: Pixels
    covered: Mask
    sources: Plane
    agreement: float


def compare(part: Pixels, reference: Pixels, others: Sequence[Pixels] = ()) -> Comparison:
    """Find where the part differs from a good reference by more than noise, light and small shifts explain.

    part, reference, others: uint8 RGB (H, W, 3). The others are more good pieces: where they differ from the
    reference the limit grows; those that do not fit it are left out. A change of brightness or tint that is the
    same, or changes slowly, over the whole picture is taken for light. Odd pictures do not raise: `fit.refused`.
    """
    fit, overlay = _overlay(part, reference)
    if overlay is None:
        return _nothing(fit, part)
    difference = _deviation(overlay)
    spreads = [_spread(reference, other) for other in others]
    if fitting := [spread for spread in spreads if spread is not None]:
        difference /= 1 + SPREAD * _sampled(np.maximum.reduce(fitting), overlay.sources)
    regions = _regions(difference, overlay, part.shape)
    believed = _believed(regions, overlay.agreement, part.shape[0] * part.shape[1])
    if regions and not believed:
        reason = f"differs in {len(regions)} places: pieces of this product vary too much, give more good references"
        return _nothing(replace(fit, refused=reason), part)
    return Comparison(fit, np.asarray(cv2.resize(difference, part.shape[1::-1]), np.float32), believed)


def _believed(regions: tuple[DifferenceRegion, ...], agreement: float, size: int) -> tuple[DifferenceRegion, ...]:
    """All regions; the large ones alone when there are so many that most must be ordinary variation."""
    if len(regions) <= FEW_REGIONS + (MANY_REGIONS - FEW_REGIONS) * agreement:
        return regions
    return tuple(region for region in regions if region.area_px >= LARGE * size)


def _nothing(fit: Fit, part: Pixels) -> Comparison:
    return Comparison(fit, np.zeros(part.shape[:2], np.float32), ())


def _overlay(part: Pixels, reference: Pixels) -> tuple[Fit, _Overlay | None]:
    """The reference over the part, both at working size; none when the fit gives a reason to refuse."""
    fit = register(part, reference)
    if fit.refused:
        return fit, None
    small_part, zoom_part = shrink(part, WORK_SIDE)
    small_reference, zoom_reference = shrink(reference, WORK_SIDE)
    matrix = zoom_part @ np.vstack([fit.matrix, [0, 0, 1]]) @ np.linalg.inv(zoom_reference)
    sources = _sources(matrix, _drift(small_part, small_reference, matrix))
    covered = _known(sources, small_reference.shape, BORDER)
    laid = _sampled(small_reference, sources)
    overlay = _Overlay(small_part, laid, covered, sources, _agreement(small_part, laid, covered))
    if reason := _objection(overlay):
        return replace(fit, refused=reason), None
    return fit, overlay


def _sources(matrix: Matrix, drift: Plane) -> Plane:
    """For each part pixel its place in the reference, when the laid reference is moved on by the drift (h, w, 2)."""
    height, width = drift.shape[:2]
    back = np.linalg.inv(matrix).astype(np.float32)
    x = np.arange(width, dtype=np.float32) - drift[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] - drift[..., 1]
    return np.stack([back[i, 0] * x + back[i, 1] * y + back[i, 2] for i in (0, 1)])


def _sampled(picture: NDArray[Value], sources: Plane) -> NDArray[Value]:
    laid = cv2.remap(picture, sources[0], sources[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(laid, picture.dtype)


def _known(sources: Plane, shape: tuple[int, ...], border: int) -> Mask:
    """Where there is something to compare: `border` pixels inside of the reference and of the part."""
    x, y = sources
    known = (x >= border) & (y >= border) & (x <= shape[1] - 1 - border) & (y <= shape[0] - 1 - border)
    known[:border] = known[-border:] = known[:, :border] = known[:, -border:] = False
    return np.asarray(known)


def _drift(part: Pixels, reference: Pixels, matrix: Matrix) -> Plane:
    """How far the laid reference must still move at each pixel, (h, w, 2): small and smooth, coarse to fine."""
    drift = np.zeros((1, 1, 2), np.float32)
    for side in DRIFT_SIDES:
        target, source = view(part, side), view(reference, side)
        carried = target.zoom @ matrix @ np.linalg.inv(source.zoom)
        drift = _drift_at(target.pixels.shape, drift)
        for _ in range(DRIFT_ROUNDS):
            sources = _sources(carried, drift)
            known = _known(sources, source.pixels.shape, DRIFT_BORDER)
            drift += np.clip(_local_step(target.pixels, _sampled(source.pixels, sources), known), -1, 1)
    return _drift_at(part.shape, drift)


def _drift_at(shape: tuple[int, ...], drift: Plane) -> Plane:
    return np.asarray(cv2.resize(drift, shape[1::-1]) * np.float32(shape[1] / drift.shape[1]), np.float32)


def _local_step(part: Plane, laid: Plane, known: Mask) -> Plane:
    """One step of Lucas and Kanade (1981) around every pixel; what differs much (a defect) moves nothing."""
    right, down = gradient(0.5 * (part + laid))
    error = laid - part
    weight = known / (1 + (error / 0.5) ** 2) ** 2
    products = (right * right, right * down, down * down, right * error, down * error)
    a, b, c, p, q = (smooth(weight * product, max(part.shape) // 16) for product in products)
    a, c = a + DRIFT_STIFFNESS, c + DRIFT_STIFFNESS
    step = np.stack([c * p - b * q, a * q - b * p], axis=-1) / (a * c - b * b)[..., None]
    return np.asarray(step, np.float32)


def _objection(overlay: _Overlay) -> str:
    """Why the pixels should not be compared, or nothing."""
    if not overlay.covered.any():
        return "too little overlap between the part and the reference"
    if _swapped(overlay):
        return "red and blue are swapped in one of the two pictures"
    if overlay.agreement < MIN_AGREEMENT:
        return "differs almost everywhere: not the same pattern"
    return ""


def _swapped(overlay: _Overlay) -> bool:
    part, laid = ((p[..., 0].astype(np.float32) - p[..., 2])[overlay.covered] for p in (overlay.part, overlay.laid))
    energy = math.sqrt(float(part @ part) * float(laid @ laid))
    return energy > 25 * part.size and float(part @ laid) < -0.5 * energy


def _agreement(part: Pixels, laid: Pixels, covered: Mask) -> float:
    """Share of the places with structure in either picture at which the gradient fields correlate well."""
    covered = shrink(covered.astype(np.uint8), AGREEMENT_SIDE)[0] > 0
    if not covered.any():
        return 0.0
    (a, b), (c, d) = (gradient(blurred(shrink(_grey(p), AGREEMENT_SIDE)[0], 0.8)) for p in (part, laid))
    products = (a * c + b * d, a * a + b * b, c * c + d * d)
    both, one, other = (smooth(product * covered, AGREEMENT_SIDE // 20) for product in products)
    most = np.maximum(one, other)
    structured = covered & (most > max(1.0, 0.05 * float(np.percentile(most[covered], 95))))
    agrees = both > AGREES * np.sqrt(np.maximum(one * other, 0))
    return float(agrees[structured].mean()) if structured.any() else 0.0


def _grey(picture: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _colourless(picture: Pixels) -> bool:
    red, green, blue = cv2.split(picture)
    return all(int(cv2.absdiff(one, other).max()) < 12 for one, other in ((red, green), (green, blue), (blue, red)))


def _deviation(overlay: _Overlay) -> Plane:
    """How far each pixel is from anything the other picture shows within REACH pixels, in units of the limit.

    The channel that differs most counts; when one of the pictures has no colour only grey is compared.
    """
    pictures = overlay.part, overlay.laid
    if any(_colourless(picture) for picture in pictures):
        channels = [tuple(_grey(picture) for picture in pictures)]
    else:
        channels = list(zip(*(cv2.split(picture) for picture in pictures), strict=True))
    deviations = [_channel_deviation(part, laid, overlay.covered) for part, laid in channels]
    return np.asarray(np.maximum.reduce(deviations) * overlay.covered, np.float32)


def _channel_deviation(part: Pixels, laid: Pixels, covered: Mask) -> Plane:
    """The limit grows with the noise of this pair and, for what sampling does to edges, with the local contrast.

    A pixel at the top of the scale may have been any brighter: under other light it is known from below only.
    """
    relit = _relit(laid, part, covered)
    below, above = blurred(relit, 1), blurred(np.where(laid >= CLIPPED, np.float32(255), relit), 1)
    here = blurred(part, 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * REACH + 1, 2 * REACH + 1))
    low, low_laid = cv2.erode(here, disc), cv2.erode(below, disc)
    high, high_laid = cv2.dilate(here, disc), cv2.dilate(above, disc)
    outside = np.maximum.reduce([here - high_laid, low_laid - here, below - high, low - above])
    error = np.maximum(below - here, here - above)[covered]
    noise = 1.25 * float(error.clip(0, LARGEST_NOISE).mean())
    limit = BASE + NOISE * noise + EDGE * np.maximum(high - low, high_laid - low_laid)
    return np.asarray(np.maximum(outside, 0) / limit, np.float32)


def _relit(laid: Pixels, part: Pixels, covered: Mask) -> Plane:
    """The laid reference under the part's light: a gain of third and an offset of first degree in x and y.

    Least squares over about 3000 pixels, reweighted from a wide to a narrow scale so that a defect cannot bend it.
    Two pixels at the top of the scale say little about the gain.
    """
    height, width = part.shape
    y, x = (np.linspace(-1, 1, size, dtype=np.float32) for size in (height, width))
    stride = max(1, int(math.sqrt(height * width / 3000)))
    rows, columns = (stride * index for index in np.nonzero(covered[::stride, ::stride]))
    target, source = (picture[rows, columns].astype(np.float32) for picture in (part, laid))
    gains = [(i, j) for i in range(4) for j in range(4 - i)]
    terms = np.stack(
        [y[rows] ** i * x[columns] ** j * source for i, j in gains]
        + [128 * np.ones_like(source), 128 * x[columns], 128 * y[rows]]
    )
    unchanged = np.eye(len(terms))[0]
    trust = np.where((target >= CLIPPED) & (source >= CLIPPED), TRUST_IN_CLIPPED, 1)
    found = unchanged
    for scale in (64, 32, 16, 8, 4, 4):
        error = target - found @ terms
        weighted = terms * trust / (1 + (error / max(3 * float(np.median(np.abs(error))), scale)) ** 2) ** 2
        normal = weighted @ terms.T + len(target) * np.eye(len(terms))
        found = np.linalg.solve(normal, weighted @ target + len(target) * unchanged)
    *gain, offset, across, down = found.astype(np.float32)
    light = sum(g * np.outer(y**i, x**j) for g, (i, j) in zip(gain, gains, strict=True))
    return np.asarray((light * laid + 128 * (offset + across * x + down * y[:, None])).clip(0, 255), np.float32)


def _spread(reference: Pixels, other: Pixels) -> Plane | None:
    """How far another good piece is from the reference, at and near each of its pixels; none when it does not fit."""
    _, overlay = _overlay(reference, other)
    if overlay is None:
        return None
    deviation = _deviation(overlay)
    reach = max(deviation.shape) // 70
    around = cv2.dilate(deviation, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    return smooth(np.asarray(around, np.float32), max(1, reach // 2))


def _regions(difference: Plane, overlay: _Overlay, shape: tuple[int, ...]) -> tuple[DifferenceRegion, ...]:
    """The places beyond the limit, largest and strongest first; those less than 2 * JOIN apart are one."""
    beyond = difference > 1
    joined = cv2.dilate(beyond.astype(np.uint8), np.ones((2 * JOIN + 1, 2 * JOIN + 1), np.uint8))
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(joined)
    part = _grey(overlay.part)
    relit = _relit(_grey(overlay.laid), part, overlay.covered)
    inside = labels[beyond].astype(np.intp)
    area = np.bincount(inside, minlength=count)
    change = np.bincount(inside, (part - relit)[beyond], count) / np.maximum(area, 1)
    structure = [np.bincount(labels.ravel(), np.hypot(*gradient(blurred(p, 1))).ravel(), count) for p in (part, relit)]
    peak = np.zeros(count)
    np.maximum.at(peak, inside, difference[beyond])
    across, down = shape[1] / difference.shape[1], shape[0] / difference.shape[0]
    found = [
        DifferenceRegion(
            box=_box(boxes[i], across, down),
            area_px=round(float(area[i]) * across * down),
            peak=float(peak[i]),
            brightness_change=float(change[i]),
            kind=_kind(structure[0][i], structure[1][i]),
        )
        for i in range(1, count)
        if area[i] >= MIN_AREA
    ]
    return tuple(sorted(found, key=lambda region: -region.area_px * region.peak))


def _box(joined: NDArray[Any], across: float, down: float) -> tuple[int, int, int, int]:
    """The box without the pixels that joining added, but with those that REACH took, in pixels of the whole part."""
    x, y, width, height = (int(number) for number in joined[:4])
    trim = JOIN - REACH
    x0, y0, x1, y1 = x + trim, y + trim, x + width - trim, y + height - trim
    return math.floor(x0 * across), math.floor(y0 * down), math.ceil(x1 * across), math.ceil(y1 * down)


def _kind(part: float, reference: float) -> Literal["missing", "extra", "changed"]:
    if part > CLEARLY_MORE * reference:
        return "extra"
    return "missing" if reference > CLEARLY_MORE * part else "changed"
