"""Where torch models run: auto, cpu, cuda or cuda:N."""

from __future__ import annotations

import re

from tools.detectors.features import BackboneError


def place(device: str) -> str:
    """The torch device named by auto (CUDA where there is one), cpu, cuda or cuda:N; BackboneError for any other."""
    checked(device)
    import torch

    present = torch.cuda.device_count()
    if device == "auto":
        return "cuda" if present else "cpu"
    if device.startswith("cuda") and int(device.partition(":")[2] or 0) >= present:
        raise BackboneError(f"there is no {device}: torch sees {present} CUDA devices", "choose auto or cpu")
    return device


def checked(device: str) -> str:
    """The name itself; BackboneError for one that means no device."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise BackboneError(f"there is no device {device!r}", "choose auto, cpu, cuda or cuda:N")
    return device
