"""open_clip models with weights from this machine: a file, or the local Hugging Face cache. Nothing is downloaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.detectors.devices import place
from tools.detectors.features import BackboneError

FILES = ("open_clip_model.safetensors", "model.safetensors")


@dataclass(frozen=True, eq=False)
class Clip:
    """An open_clip `model` in evaluation mode with its `tokenizer`; `name` tells architecture and weights."""

    name: str
    model: Any
    tokenizer: Any
    device: str


def load_clip(architecture: str, weights: Path | None, device: str) -> Clip:
    """The open_clip model `architecture` with `weights`, else with weights of the local cache.

    BackboneError for a missing package, an unknown name, and for weights that are missing or do not fit.
    """
    try:
        import open_clip
    except ImportError as error:
        remedy = "in the folder of flawlens: pip install -e '.[clip]'"
        raise BackboneError(f"CLIP needs {error.name}, which is not installed", remedy) from error
    if architecture not in open_clip.list_models():
        raise BackboneError(f"open_clip knows no model {architecture}", "open_clip.list_models() lists the names")
    where = place(device)
    file = weights or _cached(architecture)
    model = open_clip.create_model(architecture, pretrained=None).eval()
    try:
        model.load_state_dict(read_tensors(file))
    except (RuntimeError, TypeError, AttributeError) as error:
        cause = f"{file} does not hold the weights of {architecture} ({_first_line(error)})"
        raise BackboneError(cause, "name the file of this model") from error
    return Clip(f"{architecture} ({digest(file)})", model.to(where), open_clip.get_tokenizer(architecture), where)


def read_tensors(path: Path) -> Mapping[str, Any]:
    """The tensors of a safetensors file or of a torch checkpoint, read with `weights_only`; BackboneError otherwise."""
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        read = torch.load(path, map_location="cpu", weights_only=True)
    # What torch raises for a file with code in it has no name that may be imported here.
    except Exception as error:
        cause = f"{path} is not a file of weights alone ({_first_line(error)})"
        raise BackboneError(cause, "name a safetensors file, or a checkpoint that holds only tensors") from error
    if not isinstance(read, Mapping):
        raise BackboneError(f"{path} holds no tensors by name", "name another file")
    found: Mapping[str, Any] = read.get("state_dict", read)
    return found


def digest(path: Path) -> str:
    """The beginning of the file's sha256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def _cached(architecture: str) -> Path:
    import open_clip
    from huggingface_hub import try_to_load_from_cache

    tags = open_clip.list_pretrained_tags_by_model(architecture)
    hubs = [str(open_clip.get_pretrained_cfg(architecture, tag).get("hf_hub", "")).strip("/") for tag in tags]
    for repository in filter(None, hubs):
        for name in FILES:
            if isinstance(found := try_to_load_from_cache(repository, name), str):
                return Path(found)
    known = next(filter(None, hubs), None)
    remedy = (
        f"run `hf download {known} {FILES[0]}` once, where there is a network" if known else "name a file with @FILE"
    )
    raise BackboneError(f"the weights of {architecture} are not on this machine, and nothing is downloaded", remedy)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
