"""Constrained decoding: after free words exactly one tool call, whose arguments follow their JSON schema."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from transformers import LogitsProcessor, PreTrainedTokenizerFast

from agent.wire.dialect import Call

Thinking = Literal["none", "allowed", "opened"]
KEPT = 16  # compiled grammars
FINEST = 0.001  # step of numbers, else their decimals never have to end
# As json.dumps writes, which is what the models were trained on. No \u: it can write halves of surrogate pairs.
COMPACT = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "json_allowed_escapes": 'nt"\\',
}


class Grammars:
    """Compiled grammars over one tokenizer (1.5 s to read a full vocabulary, once); safe to share between threads.

    `size` is the width of the logits, which may exceed the vocabulary; `ends` are the ids that end a reply.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, size: int, ends: Sequence[int]) -> None:
        self.added = {token.content for token in tokenizer.added_tokens_decoder.values()}
        self.tokens: LLTokenizer = from_tokenizer(tokenizer, n_vocab=size, eos_token=list(ends))
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()
        self._lock = threading.Lock()

    def constraint(
        self, calls: Sequence[Call], thought: int, thinking: Thinking = "none", thinking_tokens: int = 0
    ) -> Constraint:
        """A fresh logits processor for one reply: at most `thought` tokens of words, then one of `calls`.

        `thinking`: the prompt has opened a block of thinking, or the model may open one, of at most `thinking_tokens`.
        ValueError for a schema that no grammar can express.
        """
        return Constraint(self._matcher(lark(calls, self._mark, thought, thinking, thinking_tokens)))

    def _mark(self, text: str) -> str:
        """A tag as lark writes it: a token of its own where the vocabulary has one, else plain text."""
        return text if text in self.added else json.dumps(text)

    def _matcher(self, grammar: str) -> LLMatcher:
        with self._lock:
            if grammar not in self._compiled:
                matcher = LLMatcher(self.tokens, grammar)
                if matcher.is_error():
                    raise ValueError(f"no grammar for these calls: {matcher.get_error()}")
                self._compiled[grammar] = matcher
                if len(self._compiled) > KEPT:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(grammar)
            return self._compiled[grammar].deep_copy()


class Constraint(LogitsProcessor):
    """Masks the tokens that the grammar does not allow next; for one reply of one sequence."""

    def __init__(self, matcher: LLMatcher) -> None:
        self.matcher = matcher
        self.read = -1

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.Tensor:
        """Scores (1, V) with -inf where the grammar says no; `input_ids` (1, N) is one token longer in every call."""
        if self.read >= 0:
            self.matcher.consume_tokens(input_ids[0, self.read :].tolist())
        self.read = input_ids.shape[1]
        if self.matcher.is_error():
            raise RuntimeError(f"the grammar broke: {self.matcher.get_error()}")
        bits = np.frombuffer(self.matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, count=scores.shape[1], bitorder="little").view(np.bool_)
        return scores.masked_fill(~torch.from_numpy(allowed).to(scores.device), float("-inf"))


def lark(
    calls: Sequence[Call], mark: Callable[[str], str], thought: int, thinking: Thinking, thinking_tokens: int
) -> str:
    """The grammar of one reply in llguidance's lark dialect; `mark` writes a tag such as `<tool_call>`."""
    if not calls:
        raise ValueError("a reply that may call nothing needs no grammar")
    close = mark("</think>")
    begin = {
        "none": "",
        "allowed": f"({mark('<think>')} reason {close})?" if thinking_tokens else "",
        "opened": f"reason {close}" if thinking_tokens else rf'"\n" {close} "\n\n"',
    }[thinking]
    rules = [
        f"start: {begin} {'thought' if thought else ''} call",
        f"reason[max_tokens={thinking_tokens}]: WORDS" if "reason" in begin else "",
        f"thought[max_tokens={thought}]: WORDS" if thought else "",
        r"WORDS: /(?s:.*)/ & ~/(?s:.*)<\/?(tool_call|think)>(?s:.*)/" if thought or "reason" in begin else "",
        rf'call: {mark("<tool_call>")} "\n" action "\n" {mark("</tool_call>")}',
        f"action: %json {json.dumps(_union(calls), ensure_ascii=False)}",
    ]
    return "\n".join(filter(None, rules))


def _union(calls: Sequence[Call]) -> dict[str, Any]:
    variants = [
        {
            "type": "object",
            "properties": {"name": {"const": call["name"]}, "arguments": _ending(call["arguments"])},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for call in calls
    ]
    return {"x-guidance": COMPACT, "anyOf": variants}


def _ending(schema: Any) -> Any:
    """The schema with a step for every number that has none."""
    if isinstance(schema, list):
        return [_ending(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    step = {"multipleOf": FINEST} if schema.get("type") == "number" and not schema.keys() & {"enum", "const"} else {}
    return {**step, **{key: _ending(value) for key, value in schema.items()}}
