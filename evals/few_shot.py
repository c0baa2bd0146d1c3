"""How well few references do: AUROC, false alarms and recall of PatchCore. `python -m evals.few_shot --data FOLDER`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.progress import track
from sklearn.metrics import roc_auc_score

from evals.dataset import ProductData, Sample, load_mask, read_product
from tools.detectors import AnomalyMap
from tools.detectors.features import Backbone, make_backbone
from tools.detectors.patchcore import fit
from tools.image import load_image
from tools.resample import resized

PRODUCTS = "cookie,toy_alien,magnetic_tile,elpv_mono,mvtec_screw,mvtec_leather"
UNSURE = "uncertain"  # a folder of parts on which the experts disagree; left out of every figure
PIXEL_SIDE = 256  # pixels a side at which maps and masks are compared


@dataclass(frozen=True)
class Result:
    """Figures of one product with the first `references` good pictures.

    AUROCs and shares are 0-1; `false_alarms` and `recall` are the shares of good and of defective parts above the
    calibrated limit; `pixel_auroc` is None without masks; `seconds` a test picture, its file read.
    """

    product: str
    references: int
    image_auroc: float
    pixel_auroc: float | None
    false_alarms: float
    recall: float
    seconds: float


@dataclass(frozen=True)
class _Scored:
    sample: Sample
    found: AnomalyMap
    seconds: float


def measure(product: ProductData, references: int, backbone: Backbone) -> Result:
    """Fit on the first `references` pictures of train/good by name, and score every test picture."""
    detector = fit([load_image(path).pixels for path in product.train[:references]], backbone)
    scored = []
    for sample in track(product.test, f"{product.folder.name}, {references}", console=Console(stderr=True)):
        if sample.defect != UNSURE:
            started = time.perf_counter()
            found = detector.score(load_image(sample.path).pixels)
            scored.append(_Scored(sample, found, time.perf_counter() - started))
    defective = np.array([item.sample.defective for item in scored])
    alarms = np.array([item.found.above_normal for item in scored])
    return Result(
        product.folder.name,
        min(references, len(product.train)),
        float(roc_auc_score(defective, [item.found.image_score for item in scored])),
        _pixel_auroc(scored),
        float(alarms[~defective].mean()),
        float(alarms[defective].mean()),
        float(np.mean([item.seconds for item in scored])),
    )


def _pixel_auroc(scored: Sequence[_Scored]) -> float | None:
    """Over the pixels of every good picture and every defective one with a mask."""
    masked = [item for item in scored if item.sample.masks]
    if not masked:
        return None
    scores, truth = [], []
    for item in [*masked, *(item for item in scored if not item.sample.defective)]:
        scores.append(resized(item.found.scores, PIXEL_SIDE, PIXEL_SIDE).ravel())
        truth.append(_truth(item).ravel())
    return float(roc_auc_score(np.concatenate(truth), np.concatenate(scores)))


def _truth(item: _Scored) -> npt.NDArray[np.bool_]:
    if not item.sample.masks:
        return np.zeros((PIXEL_SIDE, PIXEL_SIDE), np.bool_)
    height, width = item.found.scores.shape
    mask = load_mask(item.sample.masks, height=height, width=width).pixels
    return resized(mask.astype(np.uint8) * np.uint8(255), PIXEL_SIDE, PIXEL_SIDE) > 127


def main(
    data: Annotated[Path, typer.Option(help="Folder of MVTec-layout product folders.")],
    products: Annotated[str, typer.Option(help="Product folders, separated by commas.")] = PRODUCTS,
    shots: Annotated[str, typer.Option(help="Numbers of references, separated by commas; all: every one.")] = "1,4,all",
    backbone: Annotated[str, typer.Option(help="onnx or timm:NAME.")] = "onnx",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; for timm backbones.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Print a line a product and number of references, and the means over products."""
    chosen = make_backbone(backbone, device)
    folders = [read_product(data / name) for name in products.split(",")]
    table: dict[str, list[Result]] = {}
    for shot in shots.split(","):
        table[shot] = [measure(folder, len(folder.train) if shot == "all" else int(shot), chosen) for folder in folders]
    means = {shot: float(np.mean([result.image_auroc for result in results])) for shot, results in table.items()}
    if as_json:
        rows = [asdict(result) for results in table.values() for result in results]
        print(json.dumps({"backbone": chosen.name, "results": rows, "mean_image_auroc": means}, indent=2))
        return
    for shot, results in table.items():
        for result in results:
            print(_line(result))
        print(f"{'mean':14} {shot:>4} image AUROC {means[shot]:.3f}")


def _line(result: Result) -> str:
    pixels = f"{result.pixel_auroc:.3f}" if result.pixel_auroc is not None else "  -  "
    return (
        f"{result.product:14} {result.references:4} image AUROC {result.image_auroc:.3f}  pixel {pixels}"
        f"  false alarms {result.false_alarms:4.0%}  recall {result.recall:4.0%}  {1000 * result.seconds:3.0f} ms"
    )


if __name__ == "__main__":
    typer.run(main)
