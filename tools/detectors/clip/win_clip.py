"""Prompt-ensemble zero-shot detection in the manner of WinCLIP, with any open_clip model.

Jeong et al., WinCLIP: Zero-/Few-Shot Anomaly Classification and Segmentation, CVPR 2023: states times templates
(section 4.1), windows of several sizes whose scores are averaged harmonically where they overlap (section 4.2). The
paper masks the tokens of a vision transformer; here windows are cut from the picture, so that any model can read them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tools.detectors import Floats, Pixels
from tools.detectors.clip.weights import Clip, load_clip
from tools.detectors.pretrained import PretrainedMethod

if TYPE_CHECKING:
    from torch import Tensor

ARCHITECTURE = "ViT-B-16-plus-240"
NORMAL = ("{}", "flawless {}", "perfect {}", "unblemished {}", "{} without flaw", "{} without defect")
ANOMALOUS = ("damaged {}", "broken {}", "{} with flaw", "{} with defect", "{} with damage")
TEMPLATES = (
    "a photo of a {}.",
    "a photo of the {}.",
    "a close-up photo of a {}.",
    "a cropped photo of the {}.",
    "a bright photo of the {}.",
    "a dark photo of a {}.",
    "a blurry photo of the {}.",
    "a low resolution photo of a {}.",
    "a photo of a small {}.",
    "a photo of a large {}.",
    "a photo of the {} for visual inspection.",
    "a photo of a {} for anomaly detection.",
)
WINDOWS = (2, 3)  # to a side of the picture, overlapping by half
GRID = 12  # cells a side of the map: every window covers whole cells
TEMPERATURE = 0.07
BATCH = 16


@dataclass(frozen=True, eq=False)
class WinClip:
    """A model with sentences on the product; maps (12, 12) and image scores are probabilities."""

    name: str
    clip: Clip
    _kept: dict[str, Floats] = field(default_factory=dict)

    def known(self, product: str | None) -> Floats:
        """Directions (2, D): the mean over states and templates, kept by product."""
        thing = (product or "object").replace("_", " ")
        if thing not in self._kept:
            self._kept[thing] = np.stack([self._direction(states, thing) for states in (NORMAL, ANOMALOUS)])
        return self._kept[thing]

    def read(self, pixels: Pixels, texts: Floats) -> tuple[Floats, float]:
        """Map (12, 12) of windows, the whole picture included, and the probability of the whole picture."""
        import torch

        places = list(_places())
        height, width = pixels.shape[:2]
        views = [pixels, *(_cut(pixels, place, height, width) for place in places)]
        directions = torch.from_numpy(texts).to(self.clip.device)
        with torch.inference_mode():
            features = torch.cat(
                [self._features(views[start : start + BATCH]) for start in range(0, len(views), BATCH)]
            )
            chances = (features @ directions.T / TEMPERATURE).softmax(dim=-1)[:, 1].cpu().numpy()
        return _together(places, chances), float(chances[0])

    def _direction(self, states: tuple[str, ...], thing: str) -> Floats:
        import torch

        sentences = [template.format(state.format(thing)) for state in states for template in TEMPLATES]
        with torch.inference_mode():
            found = self.clip.model.encode_text(self.clip.tokenizer(sentences).to(self.clip.device), normalize=True)
            mean = found.mean(dim=0)
            numbers: Floats = (mean / mean.norm()).cpu().numpy()
        return numbers

    def _features(self, views: list[Pixels]) -> Tensor:
        import torch
        from PIL import Image

        visual = self.clip.model.visual
        size = visual.image_size if isinstance(visual.image_size, tuple) else (visual.image_size,) * 2
        squares = [Image.fromarray(view).resize(size[::-1], Image.Resampling.BICUBIC) for view in views]
        signal = np.stack([np.asarray(square, np.float32) / 255 for square in squares])
        mean, std = np.float32(visual.image_mean), np.float32(visual.image_std)
        tensor = torch.from_numpy((signal - mean) / std).permute(0, 3, 1, 2).to(self.clip.device)
        features: Tensor = self.clip.model.encode_image(tensor, normalize=True)
        return features


def win_clip(
    architecture: str = ARCHITECTURE, weights: Path | None = None, *, device: str = "auto"
) -> PretrainedMethod:
    """The prompt ensemble over an open_clip model; BackboneError for an unknown one or missing weights."""
    clip = load_clip(architecture, weights, device)
    return PretrainedMethod(WinClip(f"WinCLIP-style, {clip.name}", clip))


def _places() -> Iterator[tuple[int, int, int]]:
    """Windows as first row, first column and side in cells."""
    for count in WINDOWS:
        side = GRID // count
        starts = range(0, GRID - side + 1, side // 2)
        yield from ((row, column, side) for row in starts for column in starts)


def _cut(pixels: Pixels, place: tuple[int, int, int], height: int, width: int) -> Pixels:
    row, column, side = place
    top, bottom = row * height // GRID, max((row + side) * height // GRID, row * height // GRID + 1)
    left, right = column * width // GRID, max((column + side) * width // GRID, column * width // GRID + 1)
    return pixels[top:bottom, left:right]


def _together(places: list[tuple[int, int, int]], chances: Floats) -> Floats:
    """Harmonic mean for each cell: over its windows of one size, then over the sizes and the whole picture."""
    inverse = np.maximum(chances, 1e-6) ** -1.0
    sums = np.full((GRID, GRID), inverse[0])
    for side in dict.fromkeys(place[2] for place in places):
        total, visits = np.zeros((2, GRID, GRID))
        for (row, column, its_side), value in zip(places, inverse[1:], strict=True):
            if its_side == side:
                total[row : row + side, column : column + side] += value
                visits[row : row + side, column : column + side] += 1
        sums += total / visits
    found: Floats = ((1 + len(WINDOWS)) / sums).astype(np.float32)
    return found
