"""Patch features: a convolutional backbone, read at two depths and averaged over 3x3 neighbours.

Roth et al., Towards Total Recall in Industrial Anomaly Detection (PatchCore), CVPR 2022, section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from tools.detectors import Floats, Pixels
from tools.resample import resized

if TYPE_CHECKING:
    import onnxruntime

ASSET = Path(__file__).parent / "assets" / "efficientnet_lite0.onnx"
ASSET_SHA256 = "a203e167e3af3d03f584662646429a931ed4b8649d1ed0ec86c231fe8b3c8d76"
MOST_CHANNELS = 128  # of an array that OpenCV takes


class BackboneError(Exception):
    """A backbone cannot be had: cause and remedy in one line."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause}; {remedy}")


class Backbone(Protocol):
    """`name` identifies weights and preprocessing; `levels` maps (N, H, W, 3) uint8 to one or two maps (N, C, h, w).

    The sides of pictures are multiples of `step` pixels, `size` is the side that the weights like.
    """

    @property
    def name(self) -> str: ...

    @property
    def step(self) -> int: ...

    @property
    def size(self) -> int: ...

    def levels(self, pixels: Pixels) -> Sequence[Floats]: ...


class OnnxBackbone:
    """EfficientNet-Lite0 (ImageNet) at strides 8 and 16, 40 + 112 channels, on onnxruntime; weights are packaged."""

    name = "efficientnet_lite0-onnx"
    step = 16
    size = 256

    def levels(self, pixels: Pixels) -> Sequence[Floats]:
        """Feature maps (N, 40, H/8, W/8) and (N, 112, H/16, W/16) of N pictures, H and W multiples of 16."""
        signal = (pixels.astype(np.float32) - 127.5) / 127.5
        outputs: list[Floats] = _session().run(None, {"pixels": signal.transpose(0, 3, 1, 2)})
        return outputs


@cache
def make_backbone(name: str = "onnx", device: str = "auto") -> Backbone:
    """The backbone "onnx" (packaged, CPU) or "timm:NAME" (any of timm's) on `device` auto, cpu, cuda or cuda:N.

    Made once a process. BackboneError names what is missing, and the choices.
    """
    from tools.detectors.devices import checked
    from tools.detectors.torch_backbone import load_torch_backbone

    checked(device)
    if name.startswith("timm:"):
        return load_torch_backbone(name.removeprefix("timm:"), device)
    if name != "onnx":
        raise BackboneError(
            f"there is no backbone {name!r}", "choose onnx or timm:NAME, such as timm:tf_efficientnet_lite0"
        )
    if device.startswith("cuda"):
        raise BackboneError("the backbone onnx runs on the CPU", "choose timm:tf_efficientnet_lite0 for CUDA")
    return OnnxBackbone()


@cache
def _session() -> onnxruntime.InferenceSession:
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # it would report to its maker
    options = onnxruntime.SessionOptions()
    # Spinning threads make two processes on two cores ten times slower, not faster.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(ASSET, options, providers=["CPUExecutionProvider"])


def patches(pixels: Sequence[Pixels], backbone: Backbone, size: int) -> Floats:
    """Patch features (N, h, w, C) float32 of N pictures of any size, on the grid of the finer level.

    Pictures are stretched to size x size and never cropped, so that corners stay corners.
    """
    levels = backbone.levels(np.stack([resized(picture, size, size) for picture in pixels]))
    return np.stack([np.concatenate(_embedded(each), axis=2) for each in zip(*levels, strict=True)])


def tempered_patches(pixels: Sequence[Pixels], backbone: Backbone, shape: tuple[int, int], finest: float) -> Floats:
    """Patch features (N, h, w, C) float32 of N pictures at `shape` pixels, each depth over the root of its length.

    So strong patches count less and faint ones are not blown up. `finest` is the weight of the finest of several
    depths.
    """
    levels = backbone.levels(np.stack([resized(picture, *shape) for picture in pixels]))
    return np.stack([np.concatenate(_tempered(_embedded(each), finest), axis=2) for each in zip(*levels, strict=True)])


def _tempered(embedded: list[Floats], finest: float) -> list[Floats]:
    weights = [finest if len(embedded) > 1 else 1.0, *[1.0] * (len(embedded) - 1)]
    roots = [np.sqrt(np.linalg.norm(level, axis=2, keepdims=True) + 1e-6) for level in embedded]
    return [np.float32(w) * level / root for w, level, root in zip(weights, embedded, roots, strict=True)]


def _embedded(levels: Sequence[Floats]) -> list[Floats]:
    """Each level (C, h, w) averaged over 3x3 neighbours, on the grid of the finest, channels last."""
    return [
        np.concatenate([resized(_averaged(piece), *levels[0].shape[1:]) for piece in _pieces(level)], axis=2)
        for level in levels
    ]


def _pieces(level: Floats) -> list[Floats]:
    return np.array_split(level, -(-len(level) // MOST_CHANNELS))


def _averaged(level: Floats) -> Floats:
    channels_last = np.ascontiguousarray(level.transpose(1, 2, 0))
    return np.asarray(cv2.blur(channels_last, (3, 3), borderType=cv2.BORDER_CONSTANT), np.float32)
