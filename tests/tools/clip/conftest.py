"""Tiny CLIPs with random weights, one of the published architecture, and a checkpoint in the published format."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

TINY, SMALL = "tiny-24-quickgelu", "tiny-2"
WIDTH, TEXT_WIDTH, JOINT = 32, 24, 16


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a CLIP with 24 vision blocks at 336 pixels and 12 text blocks."""
    return written(tmp_path_factory.mktemp("clip"), TINY, size=336, blocks=24)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a CLIP with 2 vision blocks at 56 pixels."""
    return written(tmp_path_factory.mktemp("clip"), SMALL, size=56, blocks=2)


def written(folder: Path, name: str, *, size: int, blocks: int) -> Path:
    if not os.environ.get("CI"):
        pytest.importorskip("open_clip")
    import open_clip
    import torch
    from safetensors.torch import save_file

    vision = {"image_size": size, "layers": blocks, "width": WIDTH, "head_width": 16, "patch_size": 14}
    text = {"context_length": 77, "vocab_size": 49408, "width": TEXT_WIDTH, "heads": 2, "layers": 12}
    config = {"embed_dim": JOINT, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
    (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    torch.manual_seed(1)
    model = open_clip.create_model(name, pretrained=None)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    save_file(model.state_dict(), folder / "clip.safetensors")
    torch.save(model.state_dict(), folder / "clip.pt")
    return folder / "clip.safetensors"


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with everything that the authors' files hold."""
    import torch

    torch.manual_seed(2)
    learner: dict[str, Any] = {
        "ctx_pos": torch.randn(1, 1, 12, TEXT_WIDTH),
        "ctx_neg": torch.randn(1, 1, 12, TEXT_WIDTH),
        "token_prefix_pos": torch.randn(1, 1, 1, TEXT_WIDTH),
        "token_suffix_pos": torch.randn(1, 1, 64, TEXT_WIDTH),
        "tokenized_prompts_pos": torch.zeros(1, 77, dtype=torch.int32),
    }
    for index in range(8):
        learner[f"compound_prompts_text.{index}"] = torch.randn(4, TEXT_WIDTH)
        learner[f"compound_prompt_projections.{index}.weight"] = torch.randn(WIDTH, TEXT_WIDTH)
    path = tmp_path_factory.mktemp("checkpoint") / "epoch_15.pth"
    torch.save({"prompt_learner": learner}, path)
    return path
