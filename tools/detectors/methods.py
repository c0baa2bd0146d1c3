"""Detectors by name: what a person or a profile chooses from."""

from __future__ import annotations

from pathlib import Path

from tools.detectors import Method
from tools.detectors.features import BackboneError, make_backbone

KNOWN = (
    ("few-shot", "the default: nearest normal patches, training-free; needs good parts"),
    ("patchcore", "plain PatchCore; needs good parts"),
    ("winclip[:MODEL][@WEIGHTS]", "zero-shot by an ensemble of sentences, any open_clip model; extra clip"),
    ("anomalyclip:CHECKPOINT[@WEIGHTS][#LAYERS]", "zero-shot by learnt sentences, a published checkpoint; extra clip"),
    ("anomalib:PATH[#MODEL]", "a trained anomalib model, an export or a checkpoint of MODEL; extra anomalib"),
)


def make_method(spec: str, *, backbone: str = "onnx", device: str = "auto") -> Method:
    """The method that `spec` names (see KNOWN); BackboneError for an unknown one or for weights that are missing.

    `backbone` is onnx or timm:NAME and serves few-shot and patchcore; `device` is auto, cpu, cuda or cuda:N.
    """
    kind, _, rest = spec.partition(":")
    if spec in ("default", "few-shot"):
        from tools.detectors.few_shot import FewShotMethod

        return FewShotMethod(make_backbone(backbone, device))
    if spec == "patchcore":
        from tools.detectors.patchcore import PatchCoreMethod

        chosen = make_backbone(backbone, device)
        return PatchCoreMethod(chosen, chosen.size)
    if kind.partition("@")[0] == "winclip":
        from tools.detectors.clip.win_clip import ARCHITECTURE, win_clip

        model, weights = _file_after(spec.removeprefix("winclip").removeprefix(":"))
        return win_clip(model or ARCHITECTURE, weights, device=device)
    if kind == "anomalyclip" and rest:
        from tools.detectors.clip.anomaly_clip import LAYERS, anomaly_clip

        rest, _, layers = rest.partition("#")
        checkpoint, weights = _file_after(rest)
        return anomaly_clip(Path(checkpoint), weights, layers=_numbers(layers) or LAYERS, device=device)
    if kind == "anomalib" and rest:
        from tools.detectors.anomalib_models import anomalib_model

        path, _, model = rest.partition("#")
        return anomalib_model(Path(path), model, device=device)
    raise BackboneError(f"there is no detector {spec!r}", f"choose {', '.join(name for name, _ in KNOWN)}")


def _file_after(text: str) -> tuple[str, Path | None]:
    """What stands before and after the first @."""
    name, at, file = text.partition("@")
    return name, Path(file) if at else None


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError as error:
        raise BackboneError(f"{text!r} are no layers", "write them like #6,12,18,24") from error
