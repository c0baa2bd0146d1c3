"""A checkpoint is found, checked and loaded once; whatever is wrong is one line with a remedy."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file

from agent.planners import PlannerError, qwen_weights
from agent.planners.qwen_weights import Placement, find_checkpoint, load_weights, memory_told, place, read_checkpoint
from tests.agent.planners.conftest import Checkpoints

CPU = Placement("cpu", "float32", "sdpa")
WITH_TOOLS = "{% if tools %}{{ tools }}{% endif %}<|image_pad|>"


@pytest.fixture
def copied(checkpoints: Checkpoints, tmp_path: Path) -> Path:
    """A checkpoint of one's own, to break."""
    return shutil.copytree(checkpoints("qwen2_5_vl"), tmp_path / "copied")


def told(doing: Callable[[], Any], remedy: str) -> str:
    """The one line that a PlannerError shows a person; it has to hold the remedy."""
    with pytest.raises(PlannerError) as caught:
        doing()
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 500
    assert remedy in line
    return line


def edit(path: Path, **changes: Any) -> None:
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(known | changes), encoding="utf-8")


@pytest.mark.parametrize(
    ("family", "name", "boxes", "factor"),
    [
        ("qwen2_vl", "qwen2-vl", "thousand", 28),
        ("qwen2_5_vl", "qwen2.5-vl", "pixels", 28),
        ("qwen3_vl", "qwen3-vl", "thousand", 32),
    ],
)
def test_the_config_tells_the_dialect(
    checkpoints: Checkpoints, family: str, name: str, boxes: str, factor: int
) -> None:
    dialect = find_checkpoint(str(checkpoints(family))).dialect
    assert (dialect.name, dialect.boxes, dialect.factor, dialect.protocol) == (name, boxes, factor, "tools")


def test_another_patch_size_in_the_config_changes_the_factor(copied: Path) -> None:
    edit(copied / "config.json", vision_config={"patch_size": 16, "spatial_merge_size": 3})
    assert read_checkpoint(copied).dialect.factor == 48


def test_a_missing_folder_is_told_with_what_to_name() -> None:
    for name in ("/no/such/folder", "./nothing", "~/nothing", "nothing", "a/b/c"):
        assert name in told(lambda name=name: find_checkpoint(name), "name a checkpoint's folder")


def test_a_hub_that_does_not_exist_is_told_with_those_that_do() -> None:
    told(lambda: find_checkpoint("Qwen/Qwen2.5-VL-3B-Instruct", "github"), "huggingface or modelscope")


def test_an_id_that_cannot_be_fetched_is_told_with_the_command_that_fetches_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    line = told(lambda: find_checkpoint("nobody/nothing"), "hf download nobody/nothing --local-dir FOLDER")
    assert "--hub modelscope" in line


def test_an_id_in_the_local_cache_needs_no_network(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = tmp_path / "models--some--qwen"
    shutil.copytree(checkpoints("qwen3_vl"), kept / "snapshots" / ("0" * 40))
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert find_checkpoint("some/qwen").dialect.name == "qwen3-vl"


def test_a_missing_modelscope_package_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modelscope", None)
    told(lambda: find_checkpoint("Qwen/Qwen2.5-VL-3B-Instruct", "modelscope"), "pip install modelscope")


def test_a_model_of_another_family_is_refused_with_the_families(copied: Path) -> None:
    edit(copied / "config.json", model_type="llama")
    assert "llama" in told(lambda: read_checkpoint(copied), "qwen2_5_vl")


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff"])
def test_an_unreadable_config_is_told(copied: Path, text: str) -> None:
    (copied / "config.json").write_text(text, encoding="latin-1")
    told(lambda: read_checkpoint(copied), "checkpoint")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "preprocessor_config.json", "model.safetensors"])
def test_a_missing_file_is_told_by_name_before_anything_is_loaded(copied: Path, name: str) -> None:
    (copied / name).unlink()
    assert name in told(lambda: read_checkpoint(copied), "checkpoint")


def test_a_missing_shard_is_told_by_name(copied: Path) -> None:
    (copied / "model.safetensors").rename(copied / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    edit(copied / "model.safetensors.index.json", weight_map=shards)
    assert "model-00002-of-00002.safetensors" in told(lambda: read_checkpoint(copied), "download")


def test_pickled_weights_are_never_read(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    (copied / "model.safetensors").unlink()
    torch.save(weights, copied / "pytorch_model.bin")
    assert "pickled weights" in told(lambda: read_checkpoint(copied), "download")


def test_truncated_weights_are_told(copied: Path) -> None:
    whole = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    told(lambda: load_weights(copied, CPU), "download the checkpoint again")


def test_weights_that_are_missing_are_not_made_up(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, copied / "model.safetensors", {"format": "pt"})
    assert "lm_head.weight" in told(lambda: load_weights(copied, CPU), "download the checkpoint again")


def test_weights_of_another_shape_are_told(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    weights["lm_head.weight"] = torch.zeros(3, 3)
    save_file(weights, copied / "model.safetensors", {"format": "pt"})
    told(lambda: load_weights(copied, CPU), "download the checkpoint again")


def test_a_broken_tokenizer_and_a_broken_processor_are_told(copied: Path, checkpoints: Checkpoints) -> None:
    (copied / "tokenizer.json").write_text("{}", encoding="utf-8")
    told(lambda: load_weights(copied, CPU), "download the checkpoint again")
    shutil.copy(checkpoints("qwen2_5_vl") / "tokenizer.json", copied)
    (copied / "preprocessor_config.json").write_text("no json", encoding="utf-8")
    told(lambda: load_weights(copied, CPU), "download the checkpoint again")


def test_code_in_a_checkpoint_never_runs(copied: Path, tmp_path: Path) -> None:
    (copied / "modeling.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", encoding="utf-8")
    edit(copied / "config.json", auto_map={"AutoModelForImageTextToText": "modeling.Model"})
    load_weights(copied, CPU)
    assert not (tmp_path / "ran").exists()


def test_a_config_as_older_checkpoints_have_it_loads(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text(encoding="utf-8"))
    text = config.pop("text_config")
    section = text.pop("rope_parameters")["mrope_section"]
    older = {"rope_scaling": {"type": "mrope", "mrope_section": section}, "rope_theta": 10000.0}
    flat = {name: value for name, value in text.items() if name not in ("model_type", "layer_types")}
    config["vision_config"] |= {"in_chans": 3, "spatial_patch_size": 14}
    (copied / "config.json").write_text(json.dumps(config | flat | older), encoding="utf-8")
    rope = load_weights(copied, CPU).model.config.text_config.rope_parameters
    assert rope["mrope_section"] == section


def test_the_weights_are_loaded_once_a_process(checkpoints: Checkpoints) -> None:
    folder = checkpoints("qwen3_vl")
    with ThreadPoolExecutor(4) as pool:
        loaded = {id(weights) for weights in pool.map(lambda _: load_weights(folder, CPU), range(8))}
    assert loaded == {id(load_weights(folder, CPU))}
    assert load_weights(folder, Placement("cpu", "float32", "eager")) is not load_weights(folder, CPU)


def test_the_settings_that_a_checkpoint_ships_are_not_taken_over(checkpoints: Checkpoints) -> None:
    shipped = json.loads((checkpoints("qwen2_5_vl") / "generation_config.json").read_text(encoding="utf-8"))
    assert shipped["repetition_penalty"] == 1.05
    weights = load_weights(checkpoints("qwen2_5_vl"), CPU)
    kept = weights.model.generation_config.to_diff_dict()
    assert set(kept) <= {"eos_token_id", "pad_token_id", "transformers_version"}
    assert list(weights.ends) == shipped["eos_token_id"]


def test_the_checkpoints_own_template_is_used_when_it_has_tools_and_pictures(copied: Path) -> None:
    ours = read_checkpoint(copied)
    assert not ours.own_template
    assert "<tool_response>" in ours.template
    edit(copied / "tokenizer_config.json", chat_template="{{ tools }} without a place for pictures")
    assert not read_checkpoint(copied).own_template
    named = [{"name": "default", "template": "<|image_pad|>"}, {"name": "tool_use", "template": WITH_TOOLS}]
    edit(copied / "tokenizer_config.json", chat_template=named)
    assert read_checkpoint(copied).template == WITH_TOOLS
    edit(copied / "chat_template.json", chat_template=WITH_TOOLS + "json")
    assert read_checkpoint(copied).template == WITH_TOOLS + "json"
    (copied / "chat_template.jinja").write_text(WITH_TOOLS + "jinja", encoding="utf-8")
    assert read_checkpoint(copied) == qwen_weights.Checkpoint(copied, ours.dialect, WITH_TOOLS + "jinja", True)


def test_a_device_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told(lambda: place("cuda:3"), "--device cpu")
    told(lambda: place("tpu"), "auto, cpu, cuda or cuda:N")
    told(lambda: place("cpu", "fast"), "choose auto, flash_attention_2, sdpa or eager")
    assert place("auto", "eager") == Placement("cpu", "float32", "eager")


def test_why_it_is_not_flash_attention_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    qwen_weights._say_once.cache_clear()
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    with caplog.at_level(logging.WARNING, "flawlens"):
        assert {place("cpu").attention for _ in range(3)} == {"sdpa"}
    assert [record.getMessage() for record in caplog.records] == [
        "attention is sdpa and not flash_attention_2: flash-attn is not installed"
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [("raise ImportError('undefined symbol: _ZN3c10')", "undefined symbol"), ("", "needs a GPU")],
    ids=["broken", "no GPU"],
)
def test_flash_attention_that_is_asked_for_and_does_not_work_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, reason: str
) -> None:
    (tmp_path / "flash_attn.py").write_text(content, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "flash_attn", raising=False)
    assert reason in told(lambda: place("cpu", "flash_attention_2"), "--attention sdpa")
    monkeypatch.delitem(sys.modules, "flash_attn", raising=False)


def full_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore")


@pytest.mark.parametrize(
    "exhaust",
    [lambda: torch.empty(1 << 60, dtype=torch.uint8), full_gpu, lambda: bytearray(1 << 62)],
    ids=["torch on the CPU", "torch on a GPU", "python"],
)
def test_too_little_memory_is_told_with_what_needs_less(exhaust: Callable[[], Any]) -> None:
    def spend() -> None:
        with memory_told("answer"):
            exhaust()

    assert "quantised" in told(spend, "--image-pixels")


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_told("answer"):
        raise RuntimeError("shapes do not fit")
