"""Drawn example parts with known defects, free of any licence: for the README, demonstrations and tests.

A part is drawn as colour, height and outline, laid on a bench with a small shift and turn, lit from the upper
left and photographed with sensor noise. A defective picture differs from its good twin (same seed) inside the
mask only.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tools.image import save_image

Plane = NDArray[np.float32]
Point = tuple[float, float]
Place = tuple[float, float, float]  # x, y, degrees
Rgb = tuple[float, float, float]

CANVAS = 768
_CENTRE = (CANVAS / 2, CANVAS / 2)
PRODUCTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "bracket": ("scratch", "stain", "missing_hole"),
        "gasket": ("cut", "missing_piece", "contamination"),
        "board": ("missing_component", "shifted_component", "solder_bridge", "scratch"),
    }
)


@dataclass(frozen=True)
class ExamplePart:
    """One drawn picture: pixels (H, W, 3) uint8 RGB and mask (H, W) bool, true where the defect is."""

    product: str
    defect: str
    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def draw_part(product: str, defect: str = "good", *, seed: int = 0, size: int = 512) -> ExamplePart:
    """Draw one square picture, `size` pixels a side (at least 32); equal arguments give equal pixels.

    `seed` picks the individual: its pose, light, finish and the place of its defect. Raises ValueError for an
    unknown product or defect, or a size too small to show one.
    """
    if defect not in ("good", *PRODUCTS.get(product, ())) or product not in PRODUCTS:
        raise ValueError(f"no example {product}/{defect}; choose from {dict(PRODUCTS)} or the defect 'good'")
    if size < 32:
        raise ValueError(f"a picture of {size} pixels is too small to show a defect: draw at least 32")
    scene = _scene(product, "good", seed, size)
    mask = np.zeros((size, size), bool)
    if defect != "good":
        flawed = _scene(product, defect, seed, size)
        differs = (np.abs(flawed - scene).max(axis=2) > 0.012).astype(np.uint8)
        mask = cv2.morphologyEx(differs, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0
        scene = np.where(mask[..., None], flawed, scene)
    return ExamplePart(product, defect, _exposed(scene, seed), mask)


def write_examples(folder: Path, *, good: int = 6, seed: int = 0) -> list[Path]:
    """Write every product in the MVTec layout, and good.png and scratched.png (two brackets) beside them.

    `good` pictures go into train/good, a third as many (at least one) into test/good, and one with its mask
    (0 or 255) into each defect folder. No two show the same individual. Returns the files written.
    """
    written: list[Path] = []
    for product, defects in PRODUCTS.items():
        wanted = [("train", "good", number) for number in range(good)]
        wanted += [("test", "good", number) for number in range(max(1, good // 3))]
        wanted += [("test", defect, 0) for defect in defects]
        for individual, (split, kind, number) in enumerate(wanted, 1000 * seed):
            part = draw_part(product, kind, seed=individual)
            written.append(_saved(folder / product / split / kind / f"{number:03d}.png", part.pixels))
            if kind != "good":
                path = folder / product / "ground_truth" / kind / f"{number:03d}_mask.png"
                written.append(_saved(path, part.mask * np.uint8(255)))
    for name, defect, individual in (("good.png", "good", 998), ("scratched.png", "scratch", 999)):
        part = draw_part("bracket", defect, seed=1000 * seed + individual)
        written.append(_saved(folder / name, part.pixels))
    return written


def _saved(path: Path, pixels: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(path, pixels)
    return path


@dataclass(frozen=True)
class _Surface:
    """A part seen from above: colour (C, C, 3) and outline (C, C) in 0-1, height (C, C) in canvas pixels."""

    colour: Plane
    height: Plane
    outline: Plane
    gloss: float
    bench: Rgb


def _scene(product: str, defect: str, seed: int, size: int) -> Plane:
    """Noise-free picture (size, size, 3) in 0-1; all but the defect depends on product and seed alone."""
    look, pose = np.random.default_rng([seed, zlib.crc32(product.encode())]).spawn(2)
    flaw = np.random.default_rng([seed, zlib.crc32(f"{product}/{defect}".encode())])
    surface = _DRAW[product](defect, look, flaw)
    if defect in _CHANGE:
        surface = _CHANGE[defect](surface, flaw)
    scene = _lit(_laid(surface, pose), pose)
    return _plane(cv2.resize(scene, (size, size), interpolation=cv2.INTER_AREA))


def _laid(surface: _Surface, pose: Generator) -> _Surface:
    """The part shifted by up to 12 canvas pixels and turned by up to 2.5 degrees."""
    turn = _plane(cv2.getRotationMatrix2D(_CENTRE, pose.uniform(-2.5, 2.5), 1.0))
    turn[:, 2] += _plane(pose.uniform(-12, 12, 2))
    colour, height, outline = (
        _plane(cv2.warpAffine(plane, turn, (CANVAS, CANVAS), borderMode=cv2.BORDER_REPLICATE))
        for plane in (surface.colour, surface.height, surface.outline)
    )
    return replace(surface, colour=colour, height=height, outline=outline)


def _lit(surface: _Surface, pose: Generator) -> Plane:
    """Lambert shading with a soft highlight, a contact shadow, uneven light and a little lens blur."""
    slope = np.dstack([cv2.Sobel(surface.height, cv2.CV_32F, x, 1 - x, scale=1 / 8) for x in (1, 0)])
    light, halfway = _plane([-0.45, -0.55, 0.70]), _plane([-0.25, -0.30, 0.92])
    steepness = np.sqrt((slope**2).sum(axis=2) + 1)
    facing = (light[2] - slope @ light[:2]) / steepness / light[2]
    shine = np.clip((halfway[2] - slope @ halfway[:2]) / steepness, 0, 1) ** 24
    part = surface.colour * np.clip(facing, 0.25, 1.5)[..., None] + surface.gloss * shine[..., None]
    shadow = 1 - 0.5 * _soft(np.roll(surface.outline, (11, 9), (0, 1)), 9)
    texture = 1 + 0.035 * _grain(pose, 2, 2) + 0.015 * _grain(pose, 190, 190)
    mat = _plane(surface.bench) * (shadow * texture)[..., None]
    scene = mat + (part - mat) * surface.outline[..., None]
    y, x = _plane(np.mgrid[-1 : 1 : CANVAS * 1j, -1 : 1 : CANVAS * 1j])
    falloff = 1 - pose.uniform(0.04, 0.09) * (x + y) - pose.uniform(0.05, 0.09) * (x**2 + y**2)
    return _soft(scene * falloff[..., None], 0.8)


def _exposed(scene: Plane, seed: int) -> NDArray[np.uint8]:
    """Eight bits with shot and read noise, kept off both ends so that clipping hides nothing."""
    noise = np.random.default_rng([seed, 7]).standard_normal(scene.shape)
    level = scene + noise * (0.004 + 0.008 * np.sqrt(np.clip(scene, 0, 1)))
    return (np.clip(level, 0.02, 0.98) * 255).round().astype(np.uint8)


def _plane(values: Any) -> Plane:
    return np.asarray(values, np.float32)


def _drawn(draw: Callable[[NDArray[np.uint8]], Any]) -> Plane:
    """What `draw` leaves on an empty canvas: a plane (C, C) in 0-1, as every brush below gives."""
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    draw(canvas)
    return _plane(canvas / 255)


def _sixteenths(points: list[Point]) -> NDArray[np.int32]:
    """OpenCV's fixed-point pixels for shift=4."""
    return np.round(np.array(points) * 16).astype(np.int32)


def _discs(centres: list[Point], radius: float) -> Plane:
    return _polygons([[_around(centre, radius, 4 * n) for n in range(90)] for centre in centres])


def _polygons(outlines: list[list[Point]]) -> Plane:
    corners = [_sixteenths(outline) for outline in outlines]
    return _drawn(lambda canvas: cv2.fillPoly(canvas, corners, (255,), cv2.LINE_AA, 4))


def _blocks(places: list[Place], width: float, height: float) -> Plane:
    corners = [cv2.boxPoints(((x, y), (width, height), degrees)) for x, y, degrees in places]
    return _polygons([[(float(x), float(y)) for x, y in corner] for corner in corners])


def _lines(paths: list[list[Point]], width: int) -> Plane:
    steps = [_sixteenths(path) for path in paths]
    return _drawn(lambda canvas: cv2.polylines(canvas, steps, False, (255,), width, cv2.LINE_AA, 4))


def _text(words: str, at: tuple[int, int], scale: float, width: int = 2) -> Plane:
    font = cv2.FONT_HERSHEY_SIMPLEX
    return _drawn(lambda canvas: cv2.putText(canvas, words, at, font, scale, (255,), width, cv2.LINE_AA))


def _grain(rng: Generator, across: int, down: int) -> Plane:
    """Smooth noise of unit spread whose blobs are about `across` by `down` pixels."""
    coarse = rng.standard_normal((CANVAS // down + 2, CANVAS // across + 2)).astype(np.float32)
    plane = _plane(cv2.resize(coarse, (CANVAS, CANVAS), interpolation=cv2.INTER_CUBIC))
    return _plane((plane - plane.mean()) / plane.std())


def _soft(plane: Any, radius: float) -> Plane:
    return _plane(cv2.GaussianBlur(_plane(plane), (0, 0), radius))


def _rounded(plane: Plane, radius: float) -> Plane:
    """The same outline with its corners rounded."""
    return _plane(np.clip((_soft(plane, radius) - 0.5) * radius + 0.5, 0, 1))


def _paint(colour: Plane, *layers: tuple[Plane, Rgb]) -> Plane:
    """Colour (C, C, 3) under layers of one colour each, the last on top."""
    for where, rgb in layers:
        colour = colour + (np.array(rgb, np.float32) - colour) * where[..., None]
    return colour


def _around(centre: Point, radius: float, degrees: float) -> Point:
    angle = np.deg2rad(degrees)
    return centre[0] + radius * float(np.cos(angle)), centre[1] + radius * float(np.sin(angle))


def _bracket(defect: str, look: Generator, flaw: Generator) -> _Surface:
    """A brushed aluminium angle plate with four countersunk holes, a bore, a slot and a part number."""
    plate = _polygons([[(104, 120), (664, 120), (664, 396), (452, 396), (432, 416), (432, 656), (104, 656)]])
    holes: list[Point] = [(172, 188), (596, 188), (172, 588), (364, 588)]
    if defect == "missing_hole":
        holes.pop(int(flaw.integers(len(holes))))
    openings = _discs(holes, 27) + _discs([(300, 320)], 78) + _lines([[(470, 300), (580, 300)]], 42)
    outline = _rounded(plate, 14) * (1 - openings)
    finish = 0.05 * _grain(look, 110, 1) + 0.035 * _grain(look, 40, 1) + 0.03 * _grain(look, 200, 90)
    sheen = np.exp(-(((np.arange(CANVAS)[:, None] - look.uniform(250, 420)) / 190) ** 2))
    colour = np.array([0.52, 0.525, 0.53]) * (1 + finish + 0.22 * sheen)[..., None]
    mark = _text("BR-1042", (140, 500), 1.3, 3)
    height = 10 * _soft(outline, 3) - 7 * _soft(_discs(holes, 41), 2.5) - 1.2 * _soft(mark, 1)
    marked = _paint(_plane(colour), (0.35 * mark, (0.2, 0.2, 0.2)))
    return _Surface(marked, height, outline, gloss=0.10, bench=(0.17, 0.19, 0.22))


def _gasket(_defect: str, look: Generator, _flaw: Generator) -> _Surface:
    """A black rubber flange gasket with six bolt holes and a moulded bead."""
    bolts = [_around(_CENTRE, 226, 60 * n + 15) for n in range(6)]
    lobes = np.maximum(_discs(bolts, 58), _discs([_CENTRE], 258))
    outline = _rounded(lobes, 10) * (1 - _discs([_CENTRE], 160) - _discs(bolts, 24))
    bead = _discs([_CENTRE], 187) - _discs([_CENTRE], 175)
    dust = 0.35 * np.clip(_grain(look, 2, 2) - 2.9, 0, 1)
    shade = 1 + 0.08 * _grain(look, 2, 2) + 0.10 * _grain(look, 90, 90)
    colour = np.array([0.115, 0.115, 0.12]) * shade[..., None] + dust[..., None]
    height = 16 * _soft(outline, 6) + 5 * _soft(bead, 3)
    return _Surface(_plane(colour), height, outline, gloss=0.16, bench=(0.60, 0.61, 0.61))


_CORNERS: list[Point] = [(118, 168), (650, 168), (118, 600), (650, 600)]
_PIN_ROWS = [258.0 + 24 * n for n in range(7)]
_PASSIVES: list[Place] = [(x, y, 0) for x in (230, 600) for y in (206, 251)]
_PASSIVES += [(x, y, 90) for first, y in ((330, 190), (300, 506)) for x in (first, first + 60, first + 120)]


def _board(defect: str, look: Generator, flaw: Generator) -> _Surface:
    """A green circuit board with one chip, ten passives, two capacitor cans and a pin header."""
    outline = _rounded(_blocks([(384, 384, 0)], 600, 500), 10) * (1 - _discs(_CORNERS, 15))
    mask = 1 + 0.03 * _grain(look, 2, 2) + 0.04 * _grain(look, 160, 160)
    green = _plane(np.array([0.045, 0.27, 0.15]) * mask[..., None])
    card = _Surface(green, 8 * _soft(outline, 2), outline, gloss=0.05, bench=(0.46, 0.46, 0.47))
    placed = np.array(_PASSIVES) + look.normal(0, 1, (len(_PASSIVES), 3))
    odd = int(flaw.integers(len(placed)))
    if defect == "shifted_component":
        placed[odd] += (flaw.uniform(-8, 8), flaw.uniform(-8, 8), flaw.choice([-1, 1]) * flaw.uniform(18, 35))
    if defect == "missing_component":
        placed = np.delete(placed, odd, axis=0)
    return _populated(_etched(card), [(float(x), float(y), float(turn)) for x, y, turn in placed])


def _etched(card: _Surface) -> _Surface:
    """The bare board: tracks, vias, tinned pads and rings, white print."""
    fans: list[list[Point]] = []
    for n, (up, down) in enumerate(zip(_PIN_ROWS, _PIN_ROWS[::-1], strict=True)):
        fans.append([(320, up), (290 - 9 * n, up), (250 - 9 * n, up + 40), (150, up + 40)])
        fans.append([(450, down), (478 + 9 * n, down), (508 + 9 * n, down + 30), (618, down + 30)])
    to_header: list[list[Point]] = [[(300 + 60 * n, 530), (310 + 50 * n, 590)] for n in range(3)]
    tracks, vias = _lines(fans + to_header, 5), [fan[-1] for fan in fans]
    pads = [(*_around((x, y), side, turn), turn) for x, y, turn in _PASSIVES for side in (-21, 21)]
    pins: list[Place] = [(x, row, 0) for x in (312, 458) for row in _PIN_ROWS]
    tin = np.maximum.reduce([_blocks(pads, 18, 28), _blocks(pins, 30, 9), _discs(_CORNERS, 24)])
    colour = _paint(
        card.colour,
        (tracks, (0.085, 0.36, 0.20)),
        (_discs(vias, 7), (0.66, 0.62, 0.50)),
        (_discs(vias, 3), (0.05, 0.06, 0.05)),
        (tin, (0.70, 0.69, 0.65)),
        (_text("FL-07 REV B", (448, 610), 0.7) + _text("U1", (466, 245), 0.7), (0.80, 0.83, 0.79)),
    )
    return replace(card, colour=colour, height=card.height + _soft(tin, 1) + 0.6 * _soft(tracks, 1))


def _populated(card: _Surface, passives: list[Place]) -> _Surface:
    """The board with its components, each a flat block."""
    bodies, chip = _blocks(passives, 54, 26), _blocks([(385, 330, 0)], 122, 176)
    header, cans = _blocks([(360, 592, 0)], 150, 30), _discs([(580, 500), (190, 540)], 38)
    colour = _paint(
        card.colour,
        (bodies, (0.74, 0.73, 0.70)),
        (_blocks(passives, 32, 28), (0.07, 0.07, 0.075)),
        (chip, (0.085, 0.085, 0.09)),
        (_text("K4102", (345, 338), 0.8), (0.34, 0.34, 0.34)),
        (cans, (0.60, 0.61, 0.63)),
        (header, (0.08, 0.08, 0.08)),
        (_blocks([(308 + 26 * n, 592, 0) for n in range(5)], 12, 12), (0.80, 0.72, 0.45)),
    )
    tall = ((bodies, 7, 1.5), (chip, 12, 2), (cans, 22, 4), (header, 14, 2), (_discs([(340, 258)], 7), -2, 1))
    height = card.height + sum(rise * _soft(block, bevel) for block, rise, bevel in tall)
    return replace(card, colour=colour, height=_plane(height))


def _scratch(surface: _Surface, flaw: Generator) -> _Surface:
    """A bright, slightly curved groove on the flattest of some random places."""

    def roughness(path: list[Point]) -> float:
        under = _lines([path], 9) > 0
        return float(surface.height[under].std() - 100 * surface.outline[under].min())

    path = min((_stroke(flaw) for _ in range(40)), key=roughness)
    depth = _lines([path], 3) * np.clip(0.7 + 0.3 * _grain(flaw, 12, 12), 0.2, 1)
    colour = _paint(surface.colour, (0.75 * depth, (0.84, 0.83, 0.80)))
    return replace(surface, colour=colour, height=surface.height - 1.4 * _soft(depth, 1.2))


def _stroke(flaw: Generator) -> list[Point]:
    start, degrees, length = flaw.uniform(120, CANVAS - 120, 2), flaw.uniform(25, 155), flaw.uniform(110, 170)
    aside = flaw.uniform(-14, 14) * np.sin(np.linspace(0, np.pi, 9)) + flaw.normal(0, 0.8, 9)
    spine = [_around((start[0], start[1]), length * n / 8, degrees) for n in range(9)]
    return [_around(point, away, degrees + 90) for point, away in zip(spine, aside, strict=True)]


def _stain(surface: _Surface, flaw: Generator) -> _Surface:
    """An oil stain: brown, with a darker rim."""
    blot = _blot(surface, flaw)
    rim = blot * (1 - blot)
    return replace(surface, colour=_paint(surface.colour, (0.5 * blot + 0.6 * rim, (0.26, 0.19, 0.10))))


def _contamination(surface: _Surface, flaw: Generator) -> _Surface:
    """Dried grey release agent, thicker in places."""
    cover = _blot(surface, flaw) * np.clip(0.6 + 0.25 * _grain(flaw, 14, 14), 0.2, 0.9)
    return replace(surface, colour=_paint(surface.colour, (cover, (0.46, 0.44, 0.40))))


def _blot(surface: _Surface, flaw: Generator) -> Plane:
    """An uneven soft spot in 0-1 around a random point well inside the part."""
    depth = cv2.distanceTransform((surface.outline > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    rows, columns = np.nonzero(depth >= 24)
    chosen = flaw.integers(len(rows))
    y, x = np.mgrid[:CANVAS, :CANVAS]
    distance = np.hypot(x - columns[chosen], (y - rows[chosen]) * flaw.uniform(1.0, 1.5)) / 58
    level = 2.6 * (1 - distance) + 0.6 * _grain(flaw, 44, 44) + 0.2 * _grain(flaw, 14, 14)
    return _soft(np.clip(level, 0, 1) * (distance < 1.5), 2)


def _missing_piece(surface: _Surface, flaw: Generator) -> _Surface:
    """A piece torn out of the outer edge."""
    edge = _around(_CENTRE, 262, flaw.uniform(0, 360))
    ragged = [_around(edge, 52 * flaw.uniform(0.75, 1.15), 36 * n) for n in range(10)]
    return _without(surface, _rounded(_polygons([ragged]), 4))


def _cut(surface: _Surface, flaw: Generator) -> _Surface:
    """The ring severed by a knife."""
    degrees = 60 * flaw.integers(6) + flaw.uniform(35, 55)
    far = _around(_CENTRE, 300, degrees + flaw.uniform(-4, 4))
    wedge = [_around(_CENTRE, 140, degrees), _around(far, 5, degrees + 90), _around(far, 5, degrees - 90)]
    return _without(surface, _polygons([wedge]))


def _without(surface: _Surface, gone: Plane) -> _Surface:
    height = surface.height * (1 - _soft(gone, 2.5))
    return replace(surface, height=height, outline=surface.outline * (1 - gone))


def _solder_bridge(surface: _Surface, flaw: Generator) -> _Surface:
    """A blob of solder across two neighbouring pins."""
    x, row = flaw.choice([304, 466]), flaw.choice(_PIN_ROWS[:-1]) + 12
    blob = _rounded(_blocks([(float(x), float(row), flaw.uniform(-8, 8))], 16, 30), 4)
    colour = _paint(surface.colour, (blob, (0.73, 0.72, 0.69)))
    return replace(surface, colour=colour, height=surface.height + 6 * _soft(blob, 3))


_DRAW = {"bracket": _bracket, "gasket": _gasket, "board": _board}
_CHANGE = {
    "scratch": _scratch,
    "stain": _stain,
    "cut": _cut,
    "missing_piece": _missing_piece,
    "contamination": _contamination,
    "solder_bridge": _solder_bridge,
}
