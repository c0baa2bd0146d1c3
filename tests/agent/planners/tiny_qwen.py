"""Tiny random checkpoints of the real Qwen-VL classes, saved as a hub's folder looks, and what is said to them."""

from __future__ import annotations

import base64
import io
import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import torch
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from PIL import Image
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from agent.planners.qwen_vl import QwenVL, make_qwen_vl

VOCABULARY = 400
LOGITS = 448  # wider than the vocabulary, as in the real checkpoints
MARKS = [
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>"),
    *("<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
    *("<|image_pad|>", "<|video_pad|>"),
]
TAGS = ("<tool_call>", "</tool_call>")  # added tokens, but not marked special, as in the real vocabularies
NEW_TAGS = ("<tool_response>", "</tool_response>", "<think>", "</think>")
WORDS = [
    'The part has a scratch near the edge, 2 mm long. {"name": "zoom", "arguments": {"image": "part", "box": [100, 20',
    "submit_diagnosis verdict defective normal uncertain evidence E1 E2. 部件边缘有划痕。",
]

TEXT = {
    "vocab_size": LOGITS,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
}
VISION = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "spatial_merge_size": 2}


def tiny_checkpoint(folder: Path, family: str, seed: int = 0) -> Path:
    """A checkpoint of `family` (qwen2_vl, qwen2_5_vl, qwen3_vl) with random weights in `folder`."""
    newest = family == "qwen3_vl"
    tokenizer = tiny_tokenizer(_tags(family))
    torch.manual_seed(seed)
    model = _model(family, _ids(tokenizer))
    model.generation_config.update(
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id],
        do_sample=True,
        repetition_penalty=1.05,
        temperature=0.1,
        top_k=1,
        top_p=0.001,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": {"qwen2_vl": "Qwen2VL", "qwen2_5_vl": "Qwen2_5_VL", "qwen3_vl": "Qwen3VL"}[family]
        + "Processor",
        "min_pixels": 3136,
        "max_pixels": 12845056,
        "patch_size": 16 if newest else 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    template = "{% for message in messages %}<|im_start|>{{ message.role }}<|image_pad|>{% endfor %}"
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}), encoding="utf-8")
    return folder


def _tags(family: str) -> tuple[str, ...]:
    return {"qwen2_vl": (), "qwen2_5_vl": TAGS, "qwen3_vl": TAGS + NEW_TAGS}[family]


@cache
def tiny_tokenizer(tags: tuple[str, ...]) -> Qwen2Tokenizer:
    """A byte-level BPE of some 400 tokens with Qwen's own marks after them."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator(WORDS * 3, trainer)
    learned = json.loads(trained.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=learned["vocab"], merges=[tuple(pair) for pair in learned["merges"]], eos_token="<|im_end|>"
    )
    tokenizer.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in MARKS])
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in tags])
    return tokenizer


def _ids(tokenizer: Qwen2Tokenizer) -> dict[str, int]:
    marks = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return {name: tokenizer.convert_tokens_to_ids(mark) for name, mark in marks.items()}


def _model(family: str, ids: dict[str, int]) -> Any:
    text: dict[str, Any] = {**TEXT, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    config: PreTrainedConfig
    if family == "qwen3_vl":
        text |= {"head_dim": 16, "rope_parameters": {**rope, "mrope_interleaved": True}}
        deep = {"deepstack_visual_indexes": [0], "out_hidden_size": 64, "patch_size": 16}
        vision = {**VISION, **deep, "num_position_embeddings": 64}
        config = Qwen3VLConfig(text_config=text, vision_config=vision, **ids)
        return Qwen3VLForConditionalGeneration(config)
    text |= {"rope_parameters": rope}
    if family == "qwen2_vl":
        vision = {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2, "patch_size": 14}
        config = Qwen2VLConfig(text_config=text, vision_config=vision, **ids)
        return Qwen2VLForConditionalGeneration(config)
    window = {"window_size": 56, "fullatt_block_indexes": [1], "out_hidden_size": 64, "patch_size": 14}
    config = Qwen2_5_VLConfig(text_config=text, vision_config={**VISION, **window}, **ids)
    return Qwen2_5_VLForConditionalGeneration(config)


@tool
def zoom(image: Annotated[str, "Which picture."]) -> str:
    """Enlarge a region."""
    return image


def planner(folder: Path, **settings: Any) -> QwenVL:
    return make_qwen_vl(str(folder), device="cpu", **{"max_new_tokens": 160, "thought_tokens": 6, **settings})


def seen(width: int, height: int) -> dict[str, Any]:
    """A block with a picture of this size that is different in every place."""
    shade = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    file = io.BytesIO()
    shade.save(file, "PNG")
    url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": url}}


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def question(side: int) -> list[BaseMessage]:
    return [SystemMessage("You inspect parts."), HumanMessage([seen(side * 2, side), said("Is it good?")])]


def with_template(folder: Path, copy: Path, template: str) -> Path:
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).symlink_to(path)
    (copy / "chat_template.jinja").write_text(template, encoding="utf-8")
    return copy
