"""How a reference is laid over the part: shift, turn and scale, found coarse to fine, or a reason why not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float32]
Matrix = NDArray[np.float64]

COARSE, MIDDLE, FINE = 64, 128, 256
TURNS = tuple(float(turn) for turn in np.arange(0, 360, 7.5))
SCALES = (0.76, 0.87, 1.0, 1.15, 1.32)
CANDIDATES = 5

SURE = 0.85
ALIKE = 0.4
MIRRORED_ALIKE, MIRRORED_LEAD = 0.7, 0.08
MIN_OVERLAP = 0.5
MIN_SIDE, MAX_ASPECT = 8, 16
FAINT = 8.0


@dataclass(frozen=True)
class Fit:
    """Where the reference lies on the part.

    `matrix` (2, 3) takes reference pixels to part pixels; `shift_px` is how far the reference's centre lands from
    the part's centre; `angle_deg` is the turn of the reference, clockwise as seen; `overlap` is the share (0-1) of
    the part under the reference; `similarity` (0-1) is the correlation of the two gradient fields.
    `refused` is empty when the reference fits, else the reason; the place is then only the best guess.
    """

    matrix: Matrix
    shift_px: tuple[float, float]
    angle_deg: float
    scale: float
    overlap: float
    similarity: float
    refused: str = ""


class View(NamedTuple):
    """A picture at a smaller size, uneven light taken out; `zoom` (3, 3) takes the picture's pixels to its own."""

    pixels: Plane
    zoom: Matrix


class _Pose(NamedTuple):
    """A place of the reference: (3, 3) from reference to part pixels, and how good it is."""

    matrix: Matrix
    similarity: float = 0.0
    overlap: float = 0.0


class _Pair(NamedTuple):
    """Both pictures at the three sizes that registration works at."""

    part: dict[int, View]
    reference: dict[int, View]

    @classmethod
    def of(cls, part: Pixels, reference: Pixels) -> _Pair:
        sides = (COARSE, MIDDLE, FINE)
        return cls({side: view(part, side) for side in sides}, {side: view(reference, side) for side in sides})


def register(part: Pixels, reference: Pixels) -> Fit:
    """Lay the reference over the part by shift, turn and one scale.

    part, reference: uint8 RGB (H, W, 3), of any two sizes. The reference resized to the part and not turned is tried
    first (another aspect ratio is taken back by that); only when it is no sure fit are all turns searched, and the
    mirrored reference with them. Odd pictures do not raise: see `Fit.refused`.
    """
    for name, picture in (("part", part), ("reference", reference)):
        if reason := _unusable(picture):
            return _fit(_Pose(np.eye(3)), part, reference, f"no registration found: the {name} {reason}")
    pair = _Pair.of(part, reference)
    best = _settle(pair, _resized(reference, part))
    if best.similarity < SURE:
        best = max(best, *_search(pair), key=_rank)
        mirrored = max(_search(_Pair.of(part, np.ascontiguousarray(reference[:, ::-1]))), key=_rank)
        if mirrored.similarity > max(MIRRORED_ALIKE, best.similarity + MIRRORED_LEAD):
            return _fit(mirrored, part, reference, "the reference is mirrored")
    if best.similarity < ALIKE:
        reason = "no registration found: the reference shows another product or another pattern"
        return _fit(best, part, reference, reason)
    if best.overlap < MIN_OVERLAP:
        return _fit(best, part, reference, "too little overlap between the part and the reference")
    return _fit(best._replace(matrix=_refined(pair, best.matrix, FINE)), part, reference)


def view(picture: Pixels, side: int) -> View:
    """The grey picture at `side` pixels or less, each pixel relative to the mean and the contrast around it."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    small, zoom = shrink(grey, side)
    reach = max(side // 8, 3)
    above = small.astype(np.float32) - smooth(small.astype(np.float32), reach)
    contrast = np.sqrt(np.maximum(smooth(above * above, reach), 0))
    return View(above / (contrast + FAINT), zoom)


def shrink(picture: Pixels, side: int) -> tuple[Pixels, Matrix]:
    """The picture with its longest side at most `side` pixels, and the (3, 3) matrix that takes pixels there."""
    height, width = picture.shape[:2]
    ratio = min(1.0, side / max(height, width))
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    small = picture if ratio == 1 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), zoomed(size[0] / width, size[1] / height)


def zoomed(across: float, down: float) -> Matrix:
    """The (3, 3) matrix of a resize; pixel centres are at whole numbers, so the corner is at -0.5."""
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])


def smooth(plane: Plane, reach: int) -> Plane:
    """Mean around each pixel, weights falling to nothing at 2 * reach + 1; the cost does not grow with the reach."""
    size = (2 * reach + 1, 2 * reach + 1)
    return np.asarray(cv2.blur(cv2.blur(plane, size), size), np.float32)


def gradient(plane: Plane) -> tuple[Plane, Plane]:
    """Change per pixel, to the right and downwards."""
    right = cv2.Sobel(plane, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    return right, cv2.Sobel(plane, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)


def _unusable(picture: Pixels) -> str:
    height, width = picture.shape[:2]
    if min(height, width) < MIN_SIDE or max(height, width) > MAX_ASPECT * min(height, width):
        return f"is too small or too narrow ({width} x {height} pixels)"
    if float(np.abs(view(picture, COARSE).pixels).max()) < 0.1:
        return "is one flat surface with nothing to go by"
    return ""


def _fit(pose: _Pose, part: Pixels, reference: Pixels, refused: str = "") -> Fit:
    centre_part, centre_reference = (np.array([p.shape[1] - 1, p.shape[0] - 1]) / 2 for p in (part, reference))
    linear, shift = pose.matrix[:2, :2], pose.matrix[:2, 2]
    left, _, right = np.linalg.svd(linear)
    turn = left @ right
    x, y = linear @ centre_reference + shift - centre_part
    return Fit(
        matrix=pose.matrix[:2],
        shift_px=(float(x), float(y)),
        angle_deg=math.degrees(math.atan2(turn[1, 0], turn[0, 0])),
        scale=math.sqrt(abs(float(np.linalg.det(linear)))),
        overlap=pose.overlap,
        similarity=pose.similarity,
        refused=refused,
    )


def _rank(pose: _Pose) -> float:
    return pose.similarity * math.sqrt(pose.overlap)


def _resized(reference: Pixels, part: Pixels) -> Matrix:
    return zoomed(part.shape[1] / reference.shape[1], part.shape[0] / reference.shape[0])


def _search(pair: _Pair) -> list[_Pose]:
    """The likeliest places over all turns and scales.

    A correlation of complex gradient fields (right + i * down) by Fourier transform gives the best shift of each
    turned and scaled reference at the coarse size; the best of neighbouring turns are refined.
    """
    part, reference = pair.part[COARSE], pair.reference[COARSE]
    spectrum = np.fft.fft2(_field(part.pixels, np.ones(part.pixels.shape, np.float32)))
    unit = math.sqrt(part.pixels.size / reference.pixels.size)
    best = []
    for turn in TURNS:
        matrices = [_about_centre(turn, unit * scale, reference.pixels, part.pixels) for scale in SCALES]
        best.append(_highest_peak(spectrum, part.pixels, reference.pixels, matrices))
    tops = [best[i] for i in range(len(best)) if best[i][0] >= max(best[i - 1][0], best[(i + 1) % len(best)][0])]
    tops.sort(key=lambda top: -top[0])
    return [_settle(pair, np.linalg.inv(part.zoom) @ matrix @ reference.zoom) for _, matrix in tops[:CANDIDATES]]


def _highest_peak(spectrum: Matrix, part: Plane, reference: Plane, matrices: list[Matrix]) -> tuple[float, Matrix]:
    fields = []
    for matrix in matrices:
        laid, covered = lay(reference, matrix, part)
        fields.append(_field(laid, covered))
    correlation = np.fft.ifft2(spectrum * np.conj(np.fft.fft2(np.stack(fields)))).real
    which, y, x = np.unravel_index(int(np.argmax(correlation)), correlation.shape)
    side = correlation.shape[1]
    shift = np.eye(3)
    shift[:2, 2] = (x + side // 2) % side - side // 2, (y + side // 2) % side - side // 2
    return float(correlation.max()), shift @ matrices[which]


def _field(pixels: Plane, covered: Plane) -> NDArray[np.complex64]:
    """Gradients as complex numbers of unit energy, on a ground large enough for shifts of half the picture."""
    right, down = gradient(cv2.GaussianBlur(pixels, (0, 0), 0.8))
    field = np.zeros((COARSE * 3 // 2, COARSE * 3 // 2), np.complex64)
    field[: pixels.shape[0], : pixels.shape[1]] = (right + 1j * down) * covered
    return np.asarray(field / max(float(np.linalg.norm(field)), 1e-6), np.complex64)


def _about_centre(turn: float, scale: float, reference: Plane, part: Plane) -> Matrix:
    cosine, sine = scale * math.cos(math.radians(turn)), scale * math.sin(math.radians(turn))
    matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    centres = (np.array([p.shape[1] - 1, p.shape[0] - 1]) / 2 for p in (part, reference))
    matrix[:2, 2] = next(centres) - matrix[:2, :2] @ next(centres)
    return matrix


def lay(reference: Plane, matrix: Matrix, part: Plane) -> tuple[Plane, Plane]:
    """The reference in the part's frame, and where it covers the part (1.0) with two pixels to spare (else 0.0)."""
    size = (part.shape[1], part.shape[0])
    laid = cv2.warpAffine(reference, matrix[:2], size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inner = np.zeros(reference.shape, np.float32)
    inner[2:-2, 2:-2] = 1
    covered = cv2.warpAffine(inner, matrix[:2], size, flags=cv2.INTER_NEAREST)
    return laid, covered


def _settle(pair: _Pair, matrix: Matrix) -> _Pose:
    """Refine a rough place at the middle size and say how good it is there."""
    matrix = _refined(pair, matrix, MIDDLE)
    part, reference = pair.part[MIDDLE], pair.reference[MIDDLE]
    laid, covered = lay(reference.pixels, part.zoom @ matrix @ np.linalg.inv(reference.zoom), part.pixels)
    similarity = _alike(*(cv2.GaussianBlur(pixels, (0, 0), 1) for pixels in (part.pixels, laid)), covered)
    return _Pose(matrix, similarity, float(covered.mean()))


def _alike(part: Plane, laid: Plane, covered: Plane) -> float:
    (a, b), (c, d) = gradient(part), gradient(laid)
    energy = float(((a * a + b * b) * covered).sum()) * float(((c * c + d * d) * covered).sum())
    return float(((a * c + b * d) * covered).sum()) / math.sqrt(energy) if energy > 0 else 0.0


def _refined(pair: _Pair, matrix: Matrix, side: int, rounds: int = 15) -> Matrix:
    """Gauss-Newton steps on the views of that size until the place stands still (Lucas and Kanade 1981)."""
    part, reference = pair.part[side], pair.reference[side]
    target, source = (cv2.GaussianBlur(v.pixels, (0, 0), 1.5 if side < FINE else 1.0) for v in (part, reference))
    carried = part.zoom @ matrix @ np.linalg.inv(reference.zoom)
    for _ in range(rounds):
        step = _step(target, *lay(source, carried, target))
        carried = step @ carried
        if np.abs(step - np.eye(3)).max() < 0.01:
            break
    return np.linalg.inv(part.zoom) @ carried @ reference.zoom


def _step(part: Plane, laid: Plane, covered: Plane) -> Matrix:
    """The small shift, turn and scale that brings the laid reference closer to the part.

    Pixels that differ much (defects) count little: weights 1 / (1 + (e / s)^2)^2 with s from the median difference.
    """
    seen = covered > 0
    if seen.sum() < 64:
        return np.eye(3)
    rows, columns = np.nonzero(seen)
    centre = np.array([part.shape[1] - 1, part.shape[0] - 1]) / 2
    x, y = (columns - centre[0]).astype(np.float32), (rows - centre[1]).astype(np.float32)
    right, down = (plane[seen] for plane in gradient((part + laid) / 2))
    error = (laid - part)[seen]
    weight = 1 / (1 + (error / (2 * float(np.median(np.abs(error))) + 0.3)) ** 2) ** 2
    slopes = np.stack([right * x + down * y, down * x - right * y, right, down, laid[seen], np.ones_like(x)])
    normal = ((slopes * weight) @ slopes.T).astype(np.float64)
    normal[np.diag_indices(6)] *= 1 + 1e-6
    growth, turn, *shift = np.linalg.solve(normal + 1e-9 * np.eye(6), ((slopes * weight) @ error).astype(np.float64))[
        :4
    ]
    step = np.array([[1 + growth, -turn, 0], [turn, 1 + growth, 0], [0, 0, 1]])
    step[:2, 2] = centre + shift - step[:2, :2] @ centre
    return step
