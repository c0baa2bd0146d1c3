"""Detectors by name: what a person or a profile chooses from."""

from __future__ import annotations

from tools.detectors import Method
from tools.detectors.features import BackboneError, make_backbone

KNOWN = (
    ("few-shot", "the default: nearest normal patches, training-free; needs good parts"),
    ("patchcore", "plain PatchCore; needs good parts"),
)


def make_method(spec: str, *, backbone: str = "onnx", device: str = "auto") -> Method:
    """The method that `spec` names (see KNOWN); BackboneError for an unknown one or for weights that are missing.

    `backbone` is onnx or timm:NAME and serves default and patchcore; `device` is auto, cpu, cuda or cuda:N.
    """
    if spec in ("default", "few-shot"):
        from tools.detectors.few_shot import FewShotMethod

        return FewShotMethod(make_backbone(backbone, device))
    if spec == "patchcore":
        from tools.detectors.patchcore import PatchCoreMethod

        return PatchCoreMethod(make_backbone(backbone, device))
    raise BackboneError(f"there is no detector {spec!r}", f"choose {', '.join(name for name, _ in KNOWN)}")
