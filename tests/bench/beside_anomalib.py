"""Plain PatchCore beside anomalib's own in one process: equal maps, and how long each takes for a picture.

`python tests/bench/beside_anomalib.py --data FOLDER` (extras anomalib and torch). Both have the packaged backbone, 256
px and one bank. Maps are compared on pictures of that size; times are from the picture in memory to the map, each with
its own resizing, in turns, so that a busy machine slows both. anomalib's is its `Patchcore` with pre- and
post-processing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer

from tools.detectors import Pixels
from tools.detectors.features import OnnxBackbone
from tools.detectors.patchcore import PatchCore, PatchCoreMethod
from tools.image import list_images, load_image
from tools.resample import resized

SIZE = 256
PRODUCT = "toy_alien"


def anomalib_model(bank: np.ndarray[Any, Any]) -> Any:
    """anomalib's Patchcore over the packaged weights with our bank: its own reading, pooling, search and smoothing."""
    from anomalib.models import Patchcore
    from anomalib.pre_processing import PreProcessor
    from torchvision.transforms.v2 import Compose, Normalize, Resize

    from tools.detectors.torch_backbone import lite0

    transform = Compose([Resize((SIZE, SIZE), antialias=True), Normalize([0.5] * 3, [0.5] * 3)])
    whole = Patchcore(
        backbone="tf_efficientnet_lite0",
        layers=["blocks.2", "blocks.4"],
        pre_trained=False,
        pre_processor=PreProcessor(transform=transform),
    )
    whole.model.feature_extractor = _Levels(lite0())
    whole.model.memory_bank = torch.from_numpy(bank)
    return whole.eval()


class _Levels(torch.nn.Module):
    """The two levels by name, as anomalib's extractor returns them."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, signal: torch.Tensor) -> dict[str, torch.Tensor]:
        fine, coarse = self.model(signal)
        return {"blocks.2": fine, "blocks.4": coarse}


def timed(call: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return 1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)


def main(
    data: Annotated[Path, typer.Option(help="Folder of product folders.")],
    product: Annotated[str, typer.Option(help="Which of them.")] = PRODUCT,
    threads: Annotated[int, typer.Option(help="Of torch and OpenCV; 0 leaves them as they are.", min=0)] = 0,
    rounds: Annotated[int, typer.Option(help="Pictures timed, each by both.", min=3)] = 30,
) -> None:
    """Print the largest difference of the maps and the milliseconds of both as JSON."""
    if threads:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
    references = [load_image(path).pixels for path in list_images(data / product / "train" / "good")[0]]
    fitted = PatchCoreMethod(OnnxBackbone(), SIZE).fit(references)
    assert isinstance(fitted, PatchCore)
    whole = anomalib_model(fitted.bank)
    tested = [load_image(path).pixels for path in list_images(data / product / "test", recursive=True)[0]]

    def theirs(pixels: Pixels) -> np.ndarray[Any, Any]:
        with torch.inference_mode():
            found = whole(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)
        return np.squeeze(found.anomaly_map.numpy())

    squares = [resized(pixels, SIZE, SIZE) for pixels in tested]
    differences = [float(np.abs(fitted.score(one).scores - theirs(one)).max()) for one in squares]
    pairs = []
    for number in range(rounds + 2):
        pixels = tested[number % len(tested)]
        pairs.append((timed(partial(fitted.score, pixels)), timed(partial(theirs, pixels))))
    report: dict[str, Any] = {
        "product": product,
        "picture": f"{tested[0].shape[1]} x {tested[0].shape[0]}",
        "references": len(references),
        "bank": len(fitted.bank),
        "pictures_compared": len(squares),
        "largest_difference": max(differences),
        "highest_score": max(float(fitted.score(one).scores.max()) for one in squares),
    }
    for place, kind in enumerate(("wall_ms", "cpu_ms")):
        one, other = (median(pair[who][place] for pair in pairs[2:]) for who in (0, 1))
        report[kind] = {"flawlens": round(one, 1), "anomalib": round(other, 1), "ratio": round(other / one, 2)}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    typer.run(main)
