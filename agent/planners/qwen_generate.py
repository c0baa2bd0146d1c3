"""Token by token generation in a thread of its own, that ends early when its time is up or its reader leaves."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, Literal

import torch
from transformers import GenerationConfig, StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from agent.planners.grammar import Constraint
from agent.planners.qwen_weights import Weights, memory_told

Arrived = SimpleQueue[int | BaseException | None]


@dataclass(eq=False)
class Generation(StoppingCriteria):
    """One reply: iterate over it once for its token ids; `ids` and `finish_reason` hold what has come.

    `inputs` are the model's tensors; `seconds` counts from the start of the prompt, not while another reply is being
    generated. Errors of the model surface in the iterating thread.
    """

    weights: Weights
    inputs: Mapping[str, torch.Tensor]
    settings: GenerationConfig
    constraint: Constraint | None = None
    seconds: float | None = None
    seed: int = 0
    ids: list[int] = field(default_factory=list, init=False)
    _arrived: Arrived = field(default_factory=SimpleQueue, init=False)
    _left: Event = field(default_factory=Event, init=False)
    _late: bool = field(default=False, init=False)

    def __iter__(self) -> Generator[int]:
        thread = Thread(target=self._run, name="qwen-vl", daemon=True)
        thread.start()
        try:
            while (item := self._arrived.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                self.ids.append(item)
                yield item
        finally:
            self._left.set()
            thread.join()

    @property
    def finish_reason(self) -> Literal["stop", "time", "length"]:
        """Why the reply has ended: by itself, since its time was up, or at its longest."""
        if self.ids and self.ids[-1] in self.weights.ends:
            return "stop"
        return "time" if self._late else "length"

    def __call__(self, input_ids: torch.LongTensor, scores: Any, **_: Any) -> torch.Tensor:
        """Whether to stop after this token, (1,) bool."""
        self._late = time.monotonic() > self._deadline
        return torch.full((1,), self._late or self._left.is_set(), dtype=torch.bool, device=input_ids.device)

    def _run(self) -> None:
        try:
            with self.weights.lock, memory_told("answer"), seeded(self.seed, self.weights.model.device):
                self._deadline = float("inf") if self.seconds is None else time.monotonic() + self.seconds
                self.weights.model.generate(
                    **{name: tensor.to(self.weights.model.device) for name, tensor in self.inputs.items()},
                    generation_config=self.settings,
                    logits_processor=[self.constraint] if self.constraint else [],
                    stopping_criteria=[self],
                    streamer=Arrivals(self._arrived),
                )
            self._arrived.put(None)
        except BaseException as error:
            self._arrived.put(error)


class Arrivals(BaseStreamer):
    """Puts every new token id into a queue; the prompt, which comes first, is left out."""

    def __init__(self, queue: Arrived) -> None:
        self.queue = queue
        self.prompt = True

    def put(self, value: torch.Tensor) -> None:
        """The prompt (1, N) at the first call, then one id (1,) at a time."""
        if not self.prompt:
            self.queue.put(int(value[0]))
        self.prompt = False

    def end(self) -> None:
        """Nothing to do: the thread says itself when it is through."""


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """torch's random numbers from `seed` on, inside this block only."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def texts(ids: Iterator[int], tokenizer: Any, ends: Sequence[int]) -> Iterator[str]:
    """Pieces of text as soon as their last character is complete, tags included, the ids that end a reply left out."""
    pending: list[int] = []
    for token in ids:
        if token in ends:
            continue
        pending.append(token)
        text = tokenizer.decode(pending, skip_special_tokens=False)
        if not text.endswith("\ufffd"):
            pending.clear()
            yield text
    if pending:
        yield tokenizer.decode(pending, skip_special_tokens=False)
