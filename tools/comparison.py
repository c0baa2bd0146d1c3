"""The part against a good reference: lay over, even out the light, and find what no small error explains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.registration import Fit, Matrix, Pixels, Plane, gradient, register, shrink, smooth, view

Mask = NDArray[np.bool_]
Kind = Literal["missing", "extra", "changed"]

WORK_SIDE = 768
DRIFT_SIDES, DRIFT_ROUNDS, DRIFT_STIFFNESS, DRIFT_BORDER = (160, 320), 3, 0.005, 4
REACH = 2
BORDER = 5
BASE, NOISE, EDGE = 18.0, 5.0, 0.15
SPREAD = 2.0
CLIPPED, BOTHW, FAINT = 250, 0.03, 8.0
MIN_AREA = 12
AGREEMENT_SIDE, AGREES, MIN_AGREEMENT = 384, 0.8, 0.15
MAX_REGIONS = 16


@dataclass(frozen=True)
class DifferenceRegion:
    """One place where the part differs.

    `box` is (x0, y0, x1, y1) in part pixels, x1 and y1 outside; `peak` is in units of the limit; `brightness_change`
    is the mean of part minus reference in grey levels (-255 to 255); `kind` says which of the two has more structure
    there: the reference ("missing"), the part ("extra") or neither clearly ("changed").
    """

    box: tuple[int, int, int, int]
    area_px: int
    peak: float
    brightness_change: float
    kind: Kind


@dataclass(frozen=True)
class Comparison:
    """`difference` (H, W) float32 of the part's size: 1.0 is the edge of what noise and registration error explain.

    When `fit.refused` gives a reason, the difference is zero and there are no regions: nothing was compared.
    """

    fit: Fit
    difference: Plane
    regions: tuple[DifferenceRegion, ...]


@dataclass(frozen=True)
class _Overlay:
    """The part and, pixel by pixel over it, the reference; `sources` (h, w, 2) are its pixels' places in the reference."""

    part: Pixels
    laid: Pixels
    covered: Mask
    sources: Plane


def compare(part: Pixels, reference: Pixels, others: Sequence[Pixels] = ()) -> Comparison:
    """Find where the part differs from a good reference by more than noise, light and small shifts explain.

    part, reference, others: uint8 RGB (H, W, 3). The others are more good pieces: where they differ from the
    reference, the limit grows. Slow changes of light over the picture are taken out, and so is a change of the
    overall brightness or tint. Does not raise for pictures that do not fit: see `Comparison.fit.refused`.
    """
    fit, overlay = _overlay(part, reference)
    spread = _spread(reference, others) if overlay and others else None
    if overlay and others and spread is None:
        fit = replace(fit, refused="the good references differ from one another almost everywhere")
    if overlay is None or fit.refused:
        return Comparison(fit, np.zeros(part.shape[:2], np.float32), ())
    difference = _deviation(overlay)
    if spread is not None:
        difference /= 1 + SPREAD * cv2.remap(spread, overlay.sources, None, cv2.INTER_LINEAR)
    regions = tuple(_regions(difference, overlay, part.shape))
    if len(regions) > MAX_REGIONS:
        reason = f"differs in {len(regions)} places: this product varies too much from piece to piece"
        return Comparison(replace(fit, refused=reason), np.zeros(part.shape[:2], np.float32), ())
    return Comparison(fit, cv2.resize(difference, part.shape[1::-1], interpolation=cv2.INTER_LINEAR), regions)


def _overlay(part: Pixels, reference: Pixels) -> tuple[Fit, _Overlay | None]:
    fit = register(part, reference)
    if fit.refused:
        return fit, None
    small_part, zoom_part = shrink(part, WORK_SIDE)
    small_reference, zoom_reference = shrink(reference, WORK_SIDE)
    matrix = zoom_part @ np.vstack([fit.matrix, [0, 0, 1]]) @ np.linalg.inv(zoom_reference)
    sources = _sources(matrix, _drift(small_part, small_reference, matrix))
    laid = cv2.remap(small_reference, sources, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    overlay = _Overlay(small_part, laid, _known(sources, small_reference.shape, BORDER), sources)
    reason = _objection(overlay)
    return replace(fit, refused=reason), None if reason else overlay


def _sources(matrix: Matrix, offset: Plane) -> Plane:
    """For each part pixel its place in the reference, when the laid reference is moved on by the offset (h, w, 2)."""
    height, width = offset.shape[:2]
    back = np.linalg.inv(matrix).astype(np.float32)
    places = np.stack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)), axis=-1)
    return np.asarray((places - offset) @ back[:2, :2].T + back[:2, 2], np.float32)


def _known(sources: Plane, shape: tuple[int, ...], border: int) -> Mask:
    """Where the reference says something: `border` pixels inside of it and inside of the part."""
    x, y = sources[..., 0], sources[..., 1]
    known = (x >= border) & (y >= border) & (x <= shape[1] - 1 - border) & (y <= shape[0] - 1 - border)
    known[:border] = known[-border:] = known[:, :border] = known[:, -border:] = False
    return np.asarray(known)


def _drift(part: Pixels, reference: Pixels, matrix: Matrix) -> Plane:
    """How far the laid reference must move at each pixel, (h, w, 2): small, smooth, coarse to fine."""
    offset = np.zeros((1, 1, 2), np.float32)
    for side in DRIFT_SIDES:
        target, source = view(part, side), view(reference, side)
        carried = target.zoom @ matrix @ np.linalg.inv(source.zoom)
        offset = _resized_offset(offset, target.pixels.shape)
        for _ in range(DRIFT_ROUNDS):
            sources = _sources(carried, offset)
            laid = cv2.remap(source.pixels, sources, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            covered = _known(sources, source.pixels.shape, DRIFT_BORDER)
            offset += np.clip(_local_step(target.pixels, laid, covered), -1, 1)
    return _resized_offset(offset, part.shape)


def _resized_offset(offset: Plane, shape: tuple[int, ...]) -> Plane:
    resized = cv2.resize(offset, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized * (shape[1] / offset.shape[1]), np.float32)


def _local_step(part: Plane, laid: Plane, covered: Mask) -> Plane:
    """One step of Lucas and Kanade (1981) around every pixel; what differs much (a defect) moves nothing."""
    right, down = gradient((part + laid) / 2)
    error = laid - part
    weight = covered / (1 + (error / 0.5) ** 2) ** 2
    reach = max(part.shape) // 16
    a, b, c, p, q = (
        smooth(weight * product, reach)
        for product in (right * right, right * down, down * down, right * error, down * error)
    )
    a, c = a + DRIFT_STIFFNESS, c + DRIFT_STIFFNESS
    return np.stack([c * p - b * q, a * q - b * p], axis=-1) / (a * c - b * b)[..., None]


def _objection(overlay: _Overlay) -> str:
    """Why the pixels should not be compared, or nothing."""
    if _swapped(overlay):
        return "red and blue are swapped in one of the pictures"
    if _agreement(overlay) < MIN_AGREEMENT:
        return "differs almost everywhere: not the same pattern"
    return ""


def _swapped(overlay: _Overlay) -> bool:
    part, laid = ((p[..., 0].astype(np.float32) - p[..., 2])[overlay.covered] for p in (overlay.part, overlay.laid))
    energy = math.sqrt(float((part**2).sum()) * float((laid**2).sum()))
    return energy > 25 * part.size and float((part * laid).sum()) < -0.5 * energy


def _agreement(overlay: _Overlay) -> float:
    """Share of the places with structure in either picture at which the gradient fields correlate well."""
    part, laid = (
        cv2.GaussianBlur(shrink(_grey(p), AGREEMENT_SIDE)[0].astype(np.float32), (0, 0), 0.8)
        for p in (overlay.part, overlay.laid)
    )
    covered = shrink(overlay.covered.astype(np.uint8) * 255, AGREEMENT_SIDE)[0] == 255
    (a, b), (c, d) = gradient(part), gradient(laid)
    both, one, other = (
        smooth(energy * covered, AGREEMENT_SIDE // 20) for energy in (a * c + b * d, a * a + b * b, c * c + d * d)
    )
    most = np.maximum(one, other)
    structured = covered & (most > max(1.0, 0.05 * float(np.percentile(most[covered], 95))))
    return float((both > AGREES * np.sqrt(np.maximum(one * other, 0)))[structured].mean()) if structured.any() else 0.0


def _grey(picture: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _is_grey(picture: Pixels) -> bool:
    red, green, blue = cv2.split(picture)
    return max(float(cv2.absdiff(a, b).max()) for a, b in ((red, green), (green, blue), (blue, red))) < 12


def _deviation(overlay: _Overlay) -> Plane:
    """How far each pixel lies outside of what the other picture shows within REACH pixels, in units of the limit.

    The limit grows with the noise of this pair and with the contrast around the pixel. Without colour in one of
    the pictures only grey is compared; else the channel that differs most counts.
    """
    colourless = _is_grey(overlay.part) or _is_grey(overlay.laid)
    part, laid = (_grey(p)[..., None] if colourless else p for p in (overlay.part, overlay.laid))
    channels = [_channel_deviation(part[..., i], laid[..., i], overlay.covered) for i in range(part.shape[-1])]
    return np.asarray(np.max(channels, axis=0) * overlay.covered, np.float32)


def _channel_deviation(part: Pixels, laid: Pixels, covered: Mask) -> Plane:
    relit = _relit(laid, part, covered)
    ceiling = np.where(laid >= CLIPPED, np.float32(255), relit)
    part, relit, ceiling = (cv2.GaussianBlur(p, (0, 0), 1) for p in (part.astype(np.float32), relit, ceiling))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * REACH + 1, 2 * REACH + 1))
    low, high, low_laid, high_laid = (
        cv2.erode(part, disc),
        cv2.dilate(part, disc),
        cv2.erode(relit, disc),
        cv2.dilate(ceiling, disc),
    )
    outside = np.maximum.reduce([part - high_laid, low_laid - part, relit - high, low - ceiling])
    noise = 1.25 * float(np.minimum(np.maximum(relit - part, part - ceiling), FAINT)[covered].clip(0).mean())
    return np.maximum(outside, 0) / (BASE + NOISE * noise + EDGE * np.maximum(high - low, high_laid - low_laid))


def _relit(laid: Pixels, part: Pixels, covered: Mask) -> Plane:
    """The laid reference under the part's light: a gain of third and an offset of first degree in x and y.

    Least squares over a few thousand pixels, reweighted so that a defect does not bend the light towards itself.
    """
    height, width = part.shape
    stride = max(1, int(math.sqrt(height * width / 3000)))
    y, x = np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32)
    seen = covered[::stride, ::stride]
    rows, columns = np.nonzero(seen)
    target, source = (p[::stride, ::stride][seen].astype(np.float32) for p in (part, laid))
    powers = [(i, j) for i in range(4) for j in range(4 - i)]
    place = {power: y[::stride][rows] ** power[0] * x[::stride][columns] ** power[1] for power in powers}
    terms = np.stack([place[power] * source for power in powers] + [128 * place[p] for p in ((0, 0), (0, 1), (1, 0))])
    even = np.eye(len(terms))[0]
    trust = np.where((target >= CLIPPED) & (source >= CLIPPED), BOTHW, 1).astype(np.float32)
    found = even
    for scale in (64, 32, 16, 8, 4, 4):
        error = target - found @ terms
        weight = trust / (1 + (error / max(3 * float(np.median(np.abs(error))), scale)) ** 2) ** 2
        normal = (terms * weight) @ terms.T + len(target) * np.eye(len(terms))
        found = np.linalg.solve(normal, (terms * weight) @ target + len(target) * even)
    gain = sum(found[k] * np.outer(y**i, x**j) for k, (i, j) in enumerate(powers))
    offset = 128 * (found[-3] + found[-2] * x[None] + found[-1] * y[:, None])
    return np.clip(gain * laid + offset, 0, 255).astype(np.float32)


def _spread(reference: Pixels, others: Sequence[Pixels]) -> Plane | None:
    """How much good pieces differ from the reference at each of its pixels, in units of the limit."""
    overlays = [overlay for _, overlay in (_overlay(reference, other) for other in others) if overlay]
    if 2 * len(overlays) < len(others):
        return None
    reach = max(overlays[0].part.shape) // 70
    most = np.maximum.reduce([_deviation(overlay) for overlay in overlays])
    return smooth(cv2.dilate(most, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)), max(1, reach // 2))


def _regions(difference: Plane, overlay: _Overlay, shape: tuple[int, ...]) -> list[DifferenceRegion]:
    beyond = difference > 1
    gap = max(2, max(difference.shape) // 64)
    joined = cv2.dilate(beyond.astype(np.uint8), np.ones((gap, gap), np.uint8))
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(joined)
    scale = shape[1] / difference.shape[1], shape[0] / difference.shape[0]
    regions = []
    for label, (x, y, w, h, _) in enumerate(boxes[1:], start=1):
        window = slice(y, y + h), slice(x, x + w)
        core = beyond[window] & (labels[window] == label)
        if core.sum() >= MIN_AREA:
            regions.append(
                _region(
                    core,
                    (int(x), int(y)),
                    difference[window],
                    overlay.part[window],
                    overlay.laid[window],
                    scale,
                    shape,
                )
            )
    return regions


def _region(core, corner, difference, part, laid, scale, shape):
    rows, columns = np.nonzero(core)
    x0, x1 = (
        (columns.min() + corner[0] - REACH) * scale[0],
        (columns.max() + corner[0] + 1 + REACH) * scale[0],
    )
    y0, y1 = (rows.min() + corner[1] - REACH) * scale[1], (rows.max() + corner[1] + 1 + REACH) * scale[1]
    box = (
        max(0, math.floor(x0)),
        max(0, math.floor(y0)),
        min(shape[1], math.ceil(x1)),
        min(shape[0], math.ceil(y1)),
    )
    p, l = _grey(part).astype(np.float32), _grey(laid).astype(np.float32)
    energy = [float(np.hypot(*gradient(z)).sum()) for z in (p, l)]
    kind = "extra" if energy[0] > 1.5 * energy[1] else "missing" if energy[1] > 1.5 * energy[0] else "changed"
    return DifferenceRegion(
        box,
        round(float(core.sum()) * scale[0] * scale[1]),
        float(difference[core].max()),
        float((p - l)[core].mean()),
        kind,
    )
