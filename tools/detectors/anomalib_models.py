"""Any trained anomalib model, by anomalib's own inferencers (extra `anomalib`).

An OpenVINO export (.xml) and a checkpoint (.ckpt) are read as data. A torch export (.pt) is a pickle: anomalib opens it
only where the environment variable TRUST_REMOTE_CODE is 1, and nothing here sets it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tools.detectors import Floats, Pixels
from tools.detectors.clip.weights import digest
from tools.detectors.devices import place
from tools.detectors.features import BackboneError
from tools.detectors.pretrained import PretrainedMethod

Predict = Callable[[Pixels], Any]


@dataclass(frozen=True, eq=False)
class AnomalibReader:
    """A model whose `predict` gives anomalib's result of a picture."""

    name: str
    predict: Predict

    def known(self, product: str | None) -> Floats:
        """Nothing: what it knows is in its weights."""
        return np.empty((0, 0), np.float32)

    def read(self, pixels: Pixels, known: Floats) -> tuple[Floats, float]:
        """The model's own map and score, in its own units; BackboneError for a model that draws no map."""
        found = self.predict(pixels)
        if found.anomaly_map is None or found.pred_score is None:
            raise BackboneError(f"{self.name} gives no map with a score", "choose another model")
        scores = np.squeeze(np.asarray(found.anomaly_map, np.float32))
        return np.atleast_2d(scores), float(np.squeeze(np.asarray(found.pred_score)))


def anomalib_model(path: Path, model: str = "", *, device: str = "auto") -> PretrainedMethod:
    """The trained model in `path`; `model` is anomalib's class of a checkpoint, such as Patchcore.

    BackboneError for a missing package, an unreadable file, or a pickle that nobody said to trust.
    """
    try:
        from anomalib import deploy
    except ImportError as error:
        remedy = "in the folder of flawlens: pip install -e '.[anomalib]'"
        raise BackboneError(f"anomalib:{path} needs {error.name}, which is not installed", remedy) from error
    if not path.is_file():
        raise BackboneError(f"{path} is not a file", "name an export (.xml, .pt) or a checkpoint (.ckpt)")
    where = place(device)
    try:
        predict: Predict
        if path.suffix == ".xml":
            # Its cache would be written into the folder that one works in.
            predict = deploy.OpenVINOInferencer(path, device="CPU", config={"CACHE_DIR": ""}).predict
        elif path.suffix == ".ckpt":
            predict = _of_checkpoint(path, model, where)
        else:
            predict = deploy.TorchInferencer(path, device=where.partition(":")[0]).predict
    # Files of strangers fail in every way that torch, OpenVINO and anomalib know.
    except Exception as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        remedy = "name a file that anomalib exported; for a .pt whose source you trust, set TRUST_REMOTE_CODE=1"
        raise BackboneError(f"{path} cannot be opened ({cause})", remedy) from error
    return PretrainedMethod(AnomalibReader(f"anomalib {path.name} ({digest(path)})", predict))


def _of_checkpoint(path: Path, model: str, device: str) -> Predict:
    import torch
    from anomalib import models

    kind = getattr(models, model, None)
    if kind is None:
        raise ValueError(f"say which model it is: anomalib:{path.name}#Patchcore; {model or 'nothing'} is none")
    loaded = kind.load_from_checkpoint(path, map_location=device).eval().to(device)

    def predict(pixels: Pixels) -> Any:
        signal = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None].to(device)
        with torch.inference_mode():
            found = loaded(signal)
        return type(found)(*(value.cpu() if value is not None else None for value in found))

    return predict
