"""A Qwen-VL checkpoint: found on disk or on a hub, checked file by file, its weights loaded once a process."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.planners import PlannerError
from agent.wire.dialect import QWEN2_VL, QWEN3_VL, QWEN25_VL, Dialect

if TYPE_CHECKING:
    from agent.planners.grammar import Grammars

HUBS = ("huggingface", "modelscope")
FAMILIES = {"qwen2_vl": QWEN2_VL, "qwen2_5_vl": QWEN25_VL, "qwen3_vl": QWEN3_VL, "qwen3_vl_moe": QWEN3_VL}
FILES = ["*.json", "*.jinja", "*.txt", "*.safetensors"]
INSTALL = "in the folder of flawlens: pip install -e '.[qwen]'"
TEMPLATE = Path(__file__).with_name("qwen_tools.jinja")
_HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Checkpoint:
    """A folder with everything a planner needs; `template` is the chat template to use, its own if that has tools."""

    folder: Path
    dialect: Dialect
    template: str
    own_template: bool


@dataclass(frozen=True)
class Placement:
    """Where and how the weights run: cpu, cuda or cuda:N; a torch dtype; an attention implementation."""

    device: str
    dtype: str
    attention: str


@dataclass(frozen=True, eq=False)
class Weights:
    """A loaded model. `ends` are the ids that end a reply; whoever generates holds `lock`."""

    model: Any
    processor: Any
    grammars: Grammars
    ends: tuple[int, ...]
    lock: threading.Lock = field(default_factory=threading.Lock)


def find_checkpoint(model: str, hub: str = "huggingface") -> Checkpoint:
    """The checkpoint in the folder `model`, or the one that `hub` has under that id, downloaded on first use.

    PlannerError when it cannot be had, is no Qwen-VL, or lacks a file; no weights are read.
    """
    if hub not in HUBS:
        raise PlannerError(f"there is no hub {hub!r}; choose {' or '.join(HUBS)}")
    folder = Path(model).expanduser()
    if not folder.is_dir():
        if not _HUB_ID.fullmatch(model):
            raise PlannerError(f"there is no folder {model}; name a checkpoint's folder or Qwen/Qwen2.5-VL-7B-Instruct")
        folder = _from_modelscope(model) if hub == "modelscope" else _from_huggingface(model)
    return read_checkpoint(folder)


def _from_huggingface(model: str) -> Path:
    try:
        import huggingface_hub
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise PlannerError(f"{model} needs {error.name}, which is not installed; {INSTALL}") from error
    try:
        return Path(huggingface_hub.snapshot_download(model, allow_patterns=FILES))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise PlannerError(_unreachable(model, "Hugging Face", error, "--hub modelscope")) from error


def _from_modelscope(model: str) -> Path:
    try:
        modelscope, errors = import_module("modelscope"), import_module("modelscope.hub.errors")
    except ImportError as error:
        raise PlannerError("--hub modelscope needs a package that is not installed; pip install modelscope") from error
    try:
        return Path(modelscope.snapshot_download(model, allow_patterns=FILES))
    except (errors.HubError, OSError, ValueError) as error:
        raise PlannerError(_unreachable(model, "ModelScope", error, "--hub huggingface")) from error


def _unreachable(model: str, hub: str, error: Exception, other: str) -> str:
    command = "hf download" if hub == "Hugging Face" else "modelscope download --model"
    return (
        f"{model} is neither a folder nor to be had from {hub} ({_first_line(error)}); check the name, or download it"
        f" where there is a network ({command} {model} --local-dir FOLDER) and name that folder, or try {other}"
    )


def read_checkpoint(folder: Path) -> Checkpoint:
    """What the folder's small files say; PlannerError when it is no Qwen-VL checkpoint or a file is missing."""
    config = _json(folder / "config.json")
    family = FAMILIES.get(config.get("model_type", ""))
    if family is None:
        kind = config.get("model_type", "nothing known")
        raise PlannerError(f"{folder} is {kind}, no Qwen-VL; the families are: {', '.join(FAMILIES)}")
    _complete(folder)
    vision = config.get("vision_config") or {}
    sides = [vision[name] for name in ("patch_size", "spatial_merge_size") if name in vision]
    factor = math.prod(sides) if len(sides) == 2 else family.factor
    own = next((text for text in _templates(folder) if "tools" in text and "image_pad" in text), None)
    template = own or TEMPLATE.read_text(encoding="utf-8")
    return Checkpoint(folder, dataclasses.replace(family, factor=factor), template, own is not None)


def _complete(folder: Path) -> None:
    """PlannerError for the first file that is missing."""
    have = {path.name for path in folder.iterdir()}
    missing = [
        wanted
        for wanted, choices in {
            "tokenizer.json": [{"tokenizer.json"}, {"vocab.json", "merges.txt"}],
            "preprocessor_config.json": [{"preprocessor_config.json"}, {"processor_config.json"}],
            "model.safetensors": [{"model.safetensors"}, {"model.safetensors.index.json"}],
        }.items()
        if not any(choice <= have for choice in choices)
    ]
    if not missing and "model.safetensors" not in have:
        shards = set(_json(folder / "model.safetensors.index.json")["weight_map"].values())
        missing = sorted(shards - have)
    if missing:
        pickled = "; pickled weights (*.bin) are not read" if any(name.endswith(".bin") for name in have) else ""
        raise PlannerError(f"{folder} has no {missing[0]}{pickled}; download the checkpoint again")


def _templates(folder: Path) -> Iterator[str]:
    """The chat templates of a checkpoint, the processor's before the tokenizer's."""
    if (path := folder / "chat_template.jinja").exists():
        yield path.read_text(encoding="utf-8")
    for name in ("chat_template.json", "tokenizer_config.json"):
        found = _json(folder / name).get("chat_template") if (folder / name).exists() else None
        if isinstance(found, str):
            yield found
        for choice in found if isinstance(found, list) else []:
            yield choice["template"]


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PlannerError(f"{path} cannot be read ({_first_line(error)}); name a folder with a checkpoint") from error
    if not isinstance(found, dict):
        raise PlannerError(f"{path} holds no JSON object; download the checkpoint again")
    return found


def place(device: str = "auto", attention: str = "auto") -> Placement:
    """Where the weights will run: `device` auto, cpu, cuda, cuda:N; `attention` auto, flash_attention_2, sdpa, eager.

    PlannerError for a device that is not there and for a flash-attn that is asked for and does not work; with auto, the
    reason against it is said once.
    """
    if attention not in ("auto", "flash_attention_2", "sdpa", "eager"):
        raise PlannerError(f"there is no attention {attention!r}; choose auto, flash_attention_2, sdpa or eager")
    where = _device(device)
    if attention in ("auto", "flash_attention_2"):
        fault = _flash_fault(where)
        if fault and attention != "auto":
            raise PlannerError(f"--attention flash_attention_2 does not work: {fault}; choose --attention sdpa")
        if fault:
            _say_once(f"attention is sdpa and not flash_attention_2: {fault}")
        attention = "sdpa" if fault else "flash_attention_2"
    return Placement(where, _dtype(where), attention)


def _device(device: str) -> str:
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        raise PlannerError(f"a local Qwen-VL needs {error.name}, which is not installed; {INSTALL}") from error
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise PlannerError(f"there is no device {device!r}; choose auto, cpu, cuda or cuda:N")
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if present else "cpu"
    if device.startswith("cuda") and int(device.partition(":")[2] or 0) >= present:
        raise PlannerError(f"there is no device {device}: torch sees {present} CUDA devices; choose --device cpu")
    return device


def _dtype(device: str) -> str:
    if device == "cpu":
        return "float32"
    return "bfloat16" if _capability(device) >= (8, 0) else "float16"


def _capability(device: str) -> tuple[int, int]:
    import torch

    return torch.cuda.get_device_capability(device)


def _flash_fault(device: str) -> str | None:
    """Why FlashAttention 2 cannot be used here, or None."""
    try:
        import_module("flash_attn")
    except ModuleNotFoundError:
        return "flash-attn is not installed"
    except (ImportError, OSError) as error:
        return f"flash-attn is broken ({_first_line(error)})"
    if device == "cpu":
        return "it needs a GPU"
    major, minor = _capability(device)
    return None if major >= 8 else f"it needs compute capability 8.0 and this GPU has {major}.{minor}"


@cache
def _say_once(text: str) -> None:
    logging.getLogger("flawlens").warning(text)


_LOADED: dict[tuple[Path, Placement], Weights] = {}
_LOADING = threading.Lock()


def load_weights(folder: Path, placement: Placement) -> Weights:
    """The weights in `folder`, read at the first call of the process; PlannerError says why they cannot be."""
    key = (folder.resolve(), placement)
    with _LOADING:
        if key not in _LOADED:
            _LOADED[key] = _load(folder, placement)
        return _LOADED[key]


def _load(folder: Path, placement: Placement) -> Weights:
    from safetensors import SafetensorError

    try:
        with memory_told(f"load {folder}"):
            model, processor = _model(folder, placement), _processor(folder)
    except (ImportError, KeyError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        raise PlannerError(
            f"{folder} cannot be loaded ({_first_line(error)}); download the checkpoint again"
        ) from error
    return _weights(model, processor)


def _model(folder: Path, placement: Placement) -> Any:
    import torch
    from transformers import AutoModelForImageTextToText

    spread = placement.device == "cuda" and torch.cuda.device_count() > 1
    load: Any = AutoModelForImageTextToText.from_pretrained
    model, info = load(
        folder,
        dtype=getattr(torch, placement.dtype),
        device_map=None if placement.device == "cpu" else "auto" if spread else placement.device,
        attn_implementation=placement.attention,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    # transformers only warns, and answers with random numbers in their place.
    if info["missing_keys"]:
        raise ValueError(f"{len(info['missing_keys'])} weights are missing, such as {min(info['missing_keys'])}")
    if {"cpu", "disk"} & {str(place) for place in (getattr(model, "hf_device_map", None) or {}).values()}:
        raise torch.OutOfMemoryError("part of the model does not fit on the GPUs")
    return model.eval()


def _processor(folder: Path) -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(  # type: ignore[no-untyped-call]
        folder, local_files_only=True, trust_remote_code=False
    )


def _weights(model: Any, processor: Any) -> Weights:
    from transformers import GenerationConfig

    from agent.planners.grammar import Grammars

    tokenizer = processor.tokenizer
    found = model.generation_config.eos_token_id or tokenizer.eos_token_id
    ends = tuple(found) if isinstance(found, list) else (found,)
    # generate() fills every setting left open from here, and Qwen ships a repetition penalty and sampling.
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=list(ends), pad_token_id=tokenizer.pad_token_id
    )
    return Weights(model, processor, Grammars(tokenizer, model.config.get_text_config().vocab_size, ends), ends)


@contextmanager
def memory_told(doing: str) -> Iterator[None]:
    """Turns running out of memory, on a GPU or here, into a PlannerError that says what helps."""
    import torch

    try:
        yield
    except (MemoryError, RuntimeError) as error:
        short = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)
        if not short:
            raise
        raise PlannerError(
            f"not enough memory to {doing}; take a smaller model (qwen:Qwen/Qwen2.5-VL-3B-Instruct), a quantised"
            " checkpoint, or smaller pictures (--image-pixels)"
        ) from error


def _first_line(error: BaseException) -> str:
    """The first line of an error's text, at most 160 characters."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(".")[:160]
