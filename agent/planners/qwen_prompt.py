"""Wire messages as Qwen's chat templates want them, with the pictures beside them."""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from PIL import Image, UnidentifiedImageError

_DATA = re.compile(r"data:image/(?:jpeg|png|webp);base64,([A-Za-z0-9+/=\s]+)")
_TAG = re.compile(r"<(?=\|\w+\|>|/?(?:tool_call|tool_response|think)>)")


def turns(messages: Sequence[BaseMessage]) -> tuple[list[dict[str, Any]], list[Image.Image]]:
    """Messages for a chat template and, in their order, the pictures (RGB) that its placeholders stand for.

    Words that look like the template's own tags are broken up: a label on a part must not end a turn. ValueError for
    a picture that is no data URL, one outside a user's message, and a kind of message or block that Qwen does not know.
    """
    pictures: list[Image.Image] = []
    return [_turn(message, pictures) for message in messages], pictures


def _turn(message: BaseMessage, pictures: list[Image.Image]) -> dict[str, Any]:
    if isinstance(message, HumanMessage):
        return {"role": "user", "content": _blocks(message, pictures)}
    text = _text(message)
    if isinstance(message, SystemMessage):
        return {"role": "system", "content": text}
    if isinstance(message, ToolMessage):
        return {"role": "tool", "content": text}
    if isinstance(message, AIMessage):
        calls = [
            {"type": "function", "function": {"name": call["name"], "arguments": _plain(call["args"])}}
            for call in message.tool_calls
        ]
        return {"role": "assistant", "content": text, "tool_calls": calls}
    raise ValueError(f"there is no place for a {message.type} message in Qwen's chat format")


def _blocks(message: HumanMessage, pictures: list[Image.Image]) -> str | list[dict[str, str]]:
    if isinstance(message.content, str):
        return str(_plain(message.content))
    blocks: list[dict[str, str]] = []
    for block in message.content:
        if isinstance(block, dict) and block.get("type") == "image_url":
            pictures.append(picture(block["image_url"]["url"]))
            blocks.append({"type": "image"})
        else:
            blocks.append({"type": "text", "text": _plain(_words(block))})
    return blocks


def _text(message: BaseMessage) -> str:
    """The words of any message; of an assistant's only what is neither thinking nor a call: calls follow natively."""
    content = message.content
    whole = content if isinstance(content, str) else "".join(map(_words, content))
    if isinstance(message, AIMessage):
        whole = whole.rpartition("</think>")[2]
        whole = whole.partition("<tool_call>")[0].strip() if message.tool_calls else whole.strip()
    return str(_plain(whole))


def _words(block: str | dict[Any, Any]) -> str:
    if isinstance(block, str):
        return block
    if block.get("type") != "text":
        raise ValueError(f"a block of type {block.get('type')!r} cannot be told to Qwen here")
    return str(block["text"])


def _plain(value: Any) -> Any:
    """The value with a space in every control tag inside its strings."""
    if isinstance(value, str):
        return _TAG.sub("< ", value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def picture(url: str) -> Image.Image:
    """The picture of a data URL (JPEG, PNG or WebP in base64) in RGB; ValueError for anything else, never a fetch."""
    found = _DATA.fullmatch(url)
    if not found:
        raise ValueError(f"a picture has to be a data URL, not {url[:40]!r}")
    try:
        return Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGB")
    except (binascii.Error, UnidentifiedImageError, OSError) as error:
        raise ValueError(f"the data URL holds no picture: {error}") from error
