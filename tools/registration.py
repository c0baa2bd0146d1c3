"""How a reference is laid over the part: shift, turn and scale, found coarse to fine, or the reason why not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.pixels import Pixels

Plane = NDArray[np.float32]
Matrix = NDArray[np.float64]

COARSE, MIDDLE, FINE = 64, 128, 256
TURNS = tuple(7.5 * step for step in range(48))
SCALES = (0.76, 0.87, 1.0, 1.15, 1.32)
CANDIDATES = 5

SURE, ALIKE = 0.85, 0.4
MIRRORED_ALIKE, MIRRORED_LEAD = 0.7, 0.08
MIN_OVERLAP = 0.5
MIN_SIDE, MAX_ASPECT = 32, 16
FAINT = 8.0


@dataclass(frozen=True)
class Fit:
    """Where the reference lies on the part.

    `matrix` (2, 3) takes reference pixels to part pixels; `shift_px` is how far the reference's centre lands from
    the part's centre; `angle_deg` is the turn of the reference, clockwise as seen; `overlap` is the share (0-1) of
    the part under the reference; `similarity` (-1 to 1) is the correlation of the two gradient fields.
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


class _Pair(NamedTuple):
    """Both pictures at the three sizes that registration works at."""

    part: dict[int, View]
    reference: dict[int, View]


class _Pose(NamedTuple):
    """A place of the reference: (3, 3) from reference to part pixels, and how good it is."""

    matrix: Matrix
    similarity: float = 0.0
    overlap: float = 0.0

    @property
    def rank(self) -> float:
        return self.similarity * math.sqrt(self.overlap)


def register(part: Pixels, reference: Pixels) -> Fit:
    """Lay the reference over the part by shift, turn and one scale.

    part, reference: uint8 RGB (H, W, 3), of any two sizes. The reference resized to the part and not turned is tried
    first (that takes back another aspect ratio); only when it is no sure fit are all turns searched, and the
    mirrored reference with them. Odd pictures do not raise: see `Fit.refused`.
    """
    for name, picture in (("part", part), ("reference", reference)):
        if reason := _unusable(picture):
            return _fit(_Pose(np.eye(3)), part, reference, f"no registration found: the {name} {reason}")
    pair = _Pair(_views(part), _views(reference))
    best = _settle(pair, zoomed(part.shape[1] / reference.shape[1], part.shape[0] / reference.shape[0]))
    if best.similarity < SURE:
        best = max(best, *_search(pair), key=lambda pose: pose.rank)
        mirrored = max(_search(_mirrored(pair)), key=lambda pose: pose.rank)
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
    small, zoom = shrink(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8), side)
    pixels = small.astype(np.float32)
    above = pixels - smooth(pixels, side // 8)
    contrast = np.sqrt(np.maximum(smooth(above * above, side // 8), 0))
    return View((above / (contrast + FAINT)).astype(np.float32), zoom)


def shrink(picture: Pixels, side: int) -> tuple[Pixels, Matrix]:
    """The picture with its longest side at most `side` pixels, and the (3, 3) matrix that takes pixels there."""
    height, width = picture.shape[:2]
    ratio = min(1.0, side / max(height, width))
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    small = picture if ratio == 1 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), zoomed(size[0] / width, size[1] / height)


def zoomed(across: float, down: float) -> Matrix:
    """The (3, 3) matrix of a resize; pixel centres are whole numbers, so the picture's corner is at -0.5."""
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])


def smooth(plane: Plane, reach: int) -> Plane:
    """Mean around each pixel, the weights falling to nothing at 2 * reach + 1; the cost does not grow with it."""
    size = (2 * reach + 1, 2 * reach + 1)
    return np.asarray(cv2.blur(cv2.blur(plane, size), size), np.float32)


def blurred(plane: Plane | Pixels, sigma: float) -> Plane:
    """Gaussian blur, as float32."""
    return np.asarray(cv2.GaussianBlur(plane.astype(np.float32), (0, 0), sigma), np.float32)


def gradient(plane: Plane) -> tuple[Plane, Plane]:
    """Change per pixel, to the right and downwards."""
    right, down = (cv2.Sobel(plane, cv2.CV_32F, x, 1 - x, ksize=3, scale=1 / 8) for x in (1, 0))
    return np.asarray(right, np.float32), np.asarray(down, np.float32)


def _unusable(picture: Pixels) -> str:
    height, width = picture.shape[:2]
    if min(height, width) < MIN_SIDE or max(height, width) > MAX_ASPECT * min(height, width):
        return f"is too small or too narrow ({width} x {height} pixels)"
    if float(np.abs(view(picture, COARSE).pixels).max()) < 0.1:
        return "is one flat surface with nothing to go by"
    return ""


def _views(picture: Pixels) -> dict[int, View]:
    small, zoom = shrink(picture, 2 * FINE)
    views = {side: view(small, side) for side in (COARSE, MIDDLE, FINE)}
    return {side: View(pixels, to_view @ zoom) for side, (pixels, to_view) in views.items()}


def _mirrored(pair: _Pair) -> _Pair:
    flipped = {side: View(pixels[:, ::-1].copy(), zoom) for side, (pixels, zoom) in pair.reference.items()}
    return _Pair(pair.part, flipped)


def _centre(picture: Pixels | Plane) -> Matrix:
    return np.array([picture.shape[1] - 1, picture.shape[0] - 1]) / 2


def _fit(pose: _Pose, part: Pixels, reference: Pixels, refused: str = "") -> Fit:
    linear, shift = pose.matrix[:2, :2], pose.matrix[:2, 2]
    left, _, right = np.linalg.svd(linear)
    turn = left @ right
    x, y = linear @ _centre(reference) + shift - _centre(part)
    return Fit(
        matrix=pose.matrix[:2],
        shift_px=(float(x), float(y)),
        angle_deg=math.degrees(math.atan2(turn[1, 0], turn[0, 0])),
        scale=math.sqrt(abs(float(np.linalg.det(linear)))),
        overlap=pose.overlap,
        similarity=pose.similarity,
        refused=refused,
    )


def _search(pair: _Pair) -> list[_Pose]:
    """The likeliest places over all turns and scales.

    A correlation of complex gradient fields (right + i * down) by Fourier transform gives the best shift of each
    turned and scaled reference at the coarse size; turns better than both their neighbours are refined.
    """
    part, reference = pair.part[COARSE], pair.reference[COARSE]
    field = _field(part.pixels, np.ones_like(part.pixels))
    unit = math.sqrt(part.pixels.size / reference.pixels.size)
    peaks = []
    for turn in TURNS:
        rough = [_about_centre(turn, unit * scale, reference.pixels, part.pixels) for scale in SCALES]
        peaks.append(_highest_peak(field, part.pixels, reference.pixels, rough))
    around = zip(peaks[-1:] + peaks[:-1], peaks, peaks[1:] + peaks[:1], strict=True)
    tops = [peak for before, peak, after in around if peak[0] >= max(before[0], after[0])]
    tops.sort(key=lambda peak: -peak[0])
    return [_settle(pair, np.linalg.inv(part.zoom) @ matrix @ reference.zoom) for _, matrix in tops[:CANDIDATES]]


def _about_centre(turn: float, scale: float, reference: Plane, part: Plane) -> Matrix:
    cosine, sine = scale * math.cos(math.radians(turn)), scale * math.sin(math.radians(turn))
    matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    matrix[:2, 2] = _centre(part) - matrix[:2, :2] @ _centre(reference)
    return matrix


def _highest_peak(
    field: NDArray[np.complex64], part: Plane, reference: Plane, rough: list[Matrix]
) -> tuple[float, Matrix]:
    fields = np.stack([_field(*_lay(reference, matrix, part)) for matrix in rough])
    correlation = np.fft.ifft2(np.fft.fft2(field) * np.conj(np.fft.fft2(fields))).real
    which, y, x = np.unravel_index(int(np.argmax(correlation)), correlation.shape)
    side = correlation.shape[1]
    shift = np.eye(3)
    shift[:2, 2] = (x + side // 2) % side - side // 2, (y + side // 2) % side - side // 2
    return float(correlation.max()), shift @ rough[which]


def _field(pixels: Plane, covered: Plane) -> NDArray[np.complex64]:
    """Gradients as complex numbers of unit energy, on a ground with room for shifts of half a picture."""
    right, down = gradient(blurred(pixels, 0.8))
    field = np.zeros((COARSE * 3 // 2, COARSE * 3 // 2), np.complex64)
    field[: pixels.shape[0], : pixels.shape[1]] = (right + 1j * down) * covered
    return np.asarray(field / max(float(np.linalg.norm(field)), 1e-6), np.complex64)


def _lay(reference: Plane, matrix: Matrix, part: Plane) -> tuple[Plane, Plane]:
    """The reference in the part's frame, and 1.0 where it covers the part with two pixels to spare, else 0.0."""
    size = (part.shape[1], part.shape[0])
    laid = cv2.warpAffine(reference, matrix[:2], size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inner = np.zeros_like(reference)
    inner[2:-2, 2:-2] = 1
    covered = cv2.warpAffine(inner, matrix[:2], size, flags=cv2.INTER_NEAREST)
    return np.asarray(laid, np.float32), np.asarray(covered, np.float32)


def _settle(pair: _Pair, matrix: Matrix) -> _Pose:
    """Refine a rough place at the middle size and say how good it is there."""
    matrix = _refined(pair, matrix, MIDDLE)
    part, reference = pair.part[MIDDLE], pair.reference[MIDDLE]
    carried = part.zoom @ matrix @ np.linalg.inv(reference.zoom)
    laid, covered = _lay(reference.pixels, carried, part.pixels)
    (a, b), (c, d) = (gradient(blurred(pixels, 1)) for pixels in (part.pixels, laid))
    both, one, other = (float((energy * covered).sum()) for energy in (a * c + b * d, a * a + b * b, c * c + d * d))
    similarity = both / math.sqrt(one * other) if one * other > 0 else 0.0
    return _Pose(matrix, similarity, _overlap(carried, reference.pixels, part.pixels))


def _overlap(matrix: Matrix, reference: Plane, part: Plane) -> float:
    outlines = []
    for height, width in (reference.shape, part.shape):
        outlines.append(np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - 0.5)
    laid = (outlines[0] @ matrix[:2, :2].T + matrix[:2, 2]).astype(np.float32)
    return float(cv2.intersectConvexConvex(laid, outlines[1])[0]) / part.size


def _refined(pair: _Pair, matrix: Matrix, side: int) -> Matrix:
    """Gauss-Newton steps on the views of that size until the place stands still (Lucas and Kanade 1981)."""
    part, reference = pair.part[side], pair.reference[side]
    target, source = (blurred(pixels, 1.0 if side == FINE else 1.5) for pixels in (part.pixels, reference.pixels))
    carried = part.zoom @ matrix @ np.linalg.inv(reference.zoom)
    for _ in range(15):
        step = _step(target, *_lay(source, carried, target))
        carried = step @ carried
        if np.abs(step - np.eye(3)).max() < 0.01:
            break
    return np.linalg.inv(part.zoom) @ carried @ reference.zoom


def _step(part: Plane, laid: Plane, covered: Plane) -> Matrix:
    """The small shift, turn and scale that brings the laid reference closer to the part.

    Pixels that differ much (defects) count little: their weight is (1 + (error / scale)^2)^-2.
    """
    rows, columns = np.nonzero(covered)
    if len(rows) < 64:
        return np.eye(3)
    x, y = ((places - middle).astype(np.float32) for places, middle in zip((columns, rows), _centre(part), strict=True))
    right, down = (plane[rows, columns] for plane in gradient(0.5 * (part + laid)))
    here = laid[rows, columns]
    error = here - part[rows, columns]
    weight = (1 + (error / (2 * float(np.median(np.abs(error))) + 0.3)) ** 2) ** -2
    slopes = np.stack([right * x + down * y, down * x - right * y, right, down, here, np.ones_like(x)])
    normal = ((slopes * weight) @ slopes.T).astype(np.float64)
    normal[np.diag_indices(6)] += 1e-6 * normal.diagonal() + 1e-9
    found = np.linalg.solve(normal, ((slopes * weight) @ error).astype(np.float64))
    growth, turn = np.clip(found[:2], -0.2, 0.2)
    step = np.array([[1 + growth, -turn, 0], [turn, 1 + growth, 0], [0, 0, 1]])
    step[:2, 2] = _centre(part) + found[2:4] - step[:2, :2] @ _centre(part)
    return step
