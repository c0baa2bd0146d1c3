"""AnomalyCLIP: learnt, object-agnostic prompts for "good" and "damaged", zero-shot.

Zhou et al., AnomalyCLIP: Object-agnostic Prompt Learning for Zero-shot Anomaly Detection, ICLR 2024 (arXiv
2310.18961): prompts section 4.2, deep text tokens and the diagonally prominent attention map (DPAM, V-V) section 4.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.detectors import Floats, Pixels
from tools.detectors.clip.weights import Clip, digest, load_clip, read_tensors
from tools.detectors.features import BackboneError
from tools.detectors.pretrained import PretrainedMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

ARCHITECTURE = "ViT-L-14-336-quickgelu"
SIZE = 518  # pixels a side
V_V_BLOCKS = 19  # the last ones
DEEP_BLOCKS = range(1, 9)  # text blocks whose first tokens are replaced
LAYERS = (24,)  # as published; 6, 12, 18 and 24 are the others that the checkpoints were trained with
SENTENCES = ("object.", "damaged object.")
TEMPERATURE = 0.07
SIGMA = 4.0  # pixels
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, eq=False)
class AnomalyClip:
    """CLIP with learnt prompts; maps sum the probability of damage of each patch over `layers`."""

    name: str
    clip: Clip
    prompts: Mapping[str, Tensor]
    layers: tuple[int, ...] = LAYERS

    @cache  # noqa: B019 - one a process
    def known(self, product: str | None = None) -> Floats:
        """Directions (2, D) of good and damaged; the product plays no part."""
        import torch

        with torch.inference_mode():
            found = self._encoded(torch.cat([self.prompts["ctx_pos"][0], self.prompts["ctx_neg"][0]]))
        numbers: Floats = (found / found.norm(dim=-1, keepdim=True)).cpu().numpy()
        return numbers

    def read(self, pixels: Pixels, texts: Floats) -> tuple[Floats, float]:
        """Map (518, 518) and the probability that the whole picture shows damage."""
        import torch
        from scipy.ndimage import gaussian_filter

        directions = torch.from_numpy(texts).to(self.clip.device)
        with torch.inference_mode():
            whole, taken = self._seen(prepared(pixels, SIZE).to(self.clip.device))
            score = _chances(whole, directions)[0, 1]
            scores = torch.stack([self._layer_map(patches, directions) for patches in taken]).sum(dim=0)
        return gaussian_filter(scores.cpu().numpy(), SIGMA), float(score)

    def _encoded(self, contexts: Tensor) -> Tensor:
        """Sentences (2, 12, C) through the text tower, with the learnt tokens before blocks 1 to 8."""
        import torch

        model = self.clip.model
        count = contexts.shape[1]
        tokens = self.clip.tokenizer([f"{' '.join('X' * count)} {sentence}" for sentence in SENTENCES])
        tokens = tokens.to(self.clip.device)
        x = model.token_embedding(tokens)
        x = torch.cat([x[:, :1], contexts, x[:, 1 + count :]], dim=1) + model.positional_embedding
        for index, block in enumerate(model.transformer.resblocks):
            if index in DEEP_BLOCKS:
                deep = self.prompts[f"compound_prompts_text.{index - 1}"].expand(len(x), -1, -1)
                x = torch.cat([x[:, :1], deep, x[:, 1 + deep.shape[1] :]], dim=1)
            x = block(x, attn_mask=model.attn_mask)
        ends = model.ln_final(x)[torch.arange(len(x)), tokens.argmax(dim=-1)]
        found: Tensor = ends @ model.text_projection
        return found

    def _seen(self, signal: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The picture's own embedding (1, D), and the patches (P, D) of each layer along the second path."""
        visual = self.clip.model.visual
        x = _embedded(visual, signal)
        beside: Tensor | None = None
        taken = []
        blocks = visual.transformer.resblocks
        for number, block in enumerate(blocks, start=1):
            if number <= len(blocks) - V_V_BLOCKS:
                x = block(x)
            else:
                own, by_value = _attended(block, x)
                beside = (x if beside is None else beside) + by_value
                x = x + own
                x = x + block.mlp(block.ln_2(x))
            if number in self.layers and beside is not None:
                taken.append((visual.ln_post(beside) @ visual.proj)[0, 1:])
        return x[:, 0] @ visual.proj, taken

    def _layer_map(self, patches: Tensor, directions: Tensor) -> Tensor:
        from torch.nn.functional import interpolate

        side = round(len(patches) ** 0.5)
        chances = _chances(patches, directions).T.reshape(1, 2, side, side)
        normal, abnormal = interpolate(chances, SIZE, mode="bilinear")[0]
        found: Tensor = (abnormal + 1 - normal) / 2
        return found


def anomaly_clip(
    checkpoint: Path,
    weights: Path | None = None,
    *,
    layers: Sequence[int] = LAYERS,
    device: str = "auto",
    architecture: str = ARCHITECTURE,
) -> PretrainedMethod:
    """AnomalyCLIP with a published checkpoint and CLIP's own weights; BackboneError for files that do not fit."""
    prompts = _prompts(checkpoint)
    clip = load_clip(architecture, weights, device)
    blocks = len(clip.model.visual.transformer.resblocks)
    if not layers or not all(blocks - V_V_BLOCKS < layer <= blocks for layer in layers):
        raise BackboneError(f"no such layers: {layers}", f"choose from {blocks - V_V_BLOCKS + 1} to {blocks}")
    width = clip.model.token_embedding.weight.shape[1]
    if prompts["ctx_pos"].shape[-1] != width:
        raise BackboneError(f"{checkpoint} was learnt with another CLIP than {architecture}", "name its own checkpoint")
    name = f"AnomalyCLIP {digest(checkpoint)}, layers {' '.join(map(str, layers))}, {clip.name}"
    there = {key: value.to(clip.device) for key, value in prompts.items()}
    return PretrainedMethod(AnomalyClip(name, clip, there, tuple(layers)))


def prepared(pixels: Pixels, size: int) -> Tensor:
    """The picture (1, 3, size, size) as CLIP reads it: squeezed to a square by Pillow's bicubic filter."""
    import torch
    from PIL import Image

    square = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC)
    signal = (np.asarray(square, np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return torch.from_numpy(signal).permute(2, 0, 1)[None]


def _prompts(checkpoint: Path) -> dict[str, Tensor]:
    read = read_tensors(checkpoint)
    learner: Any = read.get("prompt_learner", {})
    names = ["ctx_pos", "ctx_neg", *(f"compound_prompts_text.{index - 1}" for index in DEEP_BLOCKS)]
    missing = [name for name in names if name not in learner]
    if missing:
        raise BackboneError(f"{checkpoint} is no checkpoint of AnomalyCLIP ({missing[0]} is missing)", "name another")
    return {name: learner[name].float() for name in names}


def _embedded(visual: Any, signal: Tensor) -> Tensor:
    """Class token and patches (1, 1 + P, C) with the position embedding stretched to their grid."""
    import torch
    from torch.nn.functional import interpolate

    patches = visual.conv1(signal)
    grid = patches.shape[-2:]
    x = torch.cat([visual.class_embedding.expand(1, 1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
    first, rest = visual.positional_embedding[:1], visual.positional_embedding[1:]
    side = round(len(rest) ** 0.5)
    if grid != (side, side):
        plane = rest.reshape(1, side, side, -1).permute(0, 3, 1, 2)
        rest = interpolate(plane, grid, mode="bilinear").flatten(2)[0].T
    found: Tensor = visual.ln_pre(x + torch.cat([first, rest]))
    return found


def _attended(block: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """The block's own attention and the V-V attention (section 4.3) of x (1, T, C), both through its projections."""
    from torch.nn.functional import linear, scaled_dot_product_attention

    attention: nn.MultiheadAttention = block.attn
    projected = linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
    q, k, v = projected.reshape(*x.shape[:2], 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    own, by_value = scaled_dot_product_attention(q, k, v), scaled_dot_product_attention(v, v, v)
    joined = [attention.out_proj(part.transpose(1, 2).flatten(2)) for part in (own, by_value)]
    return joined[0], joined[1]


def _chances(features: Tensor, directions: Tensor) -> Tensor:
    """Softmax (N, 2) of features (N, D) against the directions."""
    unit = features / features.norm(dim=-1, keepdim=True)
    found: Tensor = (unit @ directions.T / TEMPERATURE).softmax(dim=-1)
    return found
