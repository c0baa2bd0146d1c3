"""What a run's trace says of its inspection before the first step: what was asked, and with what it is answered."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.diagnosis import Inspection
from tools.drawing import at_most

if TYPE_CHECKING:
    from tools.album import Album

PACKAGES = (
    "flawlens",
    "langgraph",
    "chromadb",
    "onnxruntime",
    "opencv-python-headless",
    "numpy",
    "pillow",
)


def versions() -> dict[str, str]:
    """The packages that a result depends on."""
    return {package: version(package) for package in PACKAGES}


def asked_of(inspection: Inspection) -> dict[str, Any]:
    """The inspection as plain values."""
    return {
        "image": path_text(inspection.image),
        "references": [path_text(path) for path in inspection.references],
        "product": inspection.product,
        "question": inspection.question,
        "choices": [{"question": choice.question, "options": dict(choice.options)} for choice in inspection.choices],
    }


def path_text(path: Path) -> str:
    """The path as valid text: bytes of a name that are no UTF-8 are spelled out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def pictures_of(album: Album) -> list[dict[str, Any]]:
    """What was loaded, each with a viewable copy in the run's folder."""
    return [
        {
            "id": name,
            "file": album.save(name, at_most(view.original.pixels)),
            "width": view.original.width,
            "height": view.original.height,
            "sha256": view.original.sha256,
            "notes": list(view.original.notes),
        }
        for name, view in album.views.items()
    ]
