"""A local Qwen-VL as planner: Qwen2-VL, Qwen2.5-VL and Qwen3-VL through transformers, held to a grammar."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from agent.planners import REPLY_TOKENS, THOUGHT_SHARE, bounded
from agent.planners.qwen_prompt import turns
from agent.planners.qwen_weights import Checkpoint, Placement, Weights, find_checkpoint, load_weights, place
from agent.wire.dialect import Call, Dialect
from agent.wire.replies import read_reply

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import GenerationConfig

    from agent.planners.grammar import Constraint, Thinking
    from agent.planners.qwen_generate import Generation

Tool = dict[str, Any]


def make_qwen_vl(
    model: str,
    *,
    hub: str = "huggingface",
    device: str = "auto",
    attention: str = "auto",
    most_pixels: int | None = None,
    longest_text: int | None = None,
    **settings: Any,
) -> QwenVL:
    """The planner over a local folder or a hub's model; `settings` are QwenVL's own, such as temperature.

    `most_pixels` of one picture and the `longest_text` of one field, in characters, replace the family's. The
    checkpoint is found and its small files are checked here; its weights load at the first reply. PlannerError says
    what is missing.
    """
    checkpoint = find_checkpoint(model, hub)
    dialect = checkpoint.dialect if most_pixels is None else bounded(checkpoint.dialect, most_pixels)
    dialect = dataclasses.replace(dialect, longest_text=longest_text or dialect.longest_text)
    placement = place(device, attention)
    return QwenVL(model=model, hub=hub, checkpoint=checkpoint, placement=placement, dialect=dialect, **settings)


class QwenVL(BaseChatModel):
    """A Qwen-VL in this process; build it with `make_qwen_vl`.

    A reply has at most `max_new_tokens`, of which `thought_tokens` are free words before the call where the reply is
    constrained (0 switches thinking off too; a thinking checkpoint may take half of the reply for it). Temperature 0
    takes the likeliest token; above, tokens are drawn from `seed` and the number of messages on.
    """

    model: str
    hub: str
    checkpoint: Checkpoint
    placement: Placement
    dialect: Dialect
    temperature: float = 0.0
    max_new_tokens: int = REPLY_TOKENS
    thought_tokens: int = REPLY_TOKENS // THOUGHT_SHARE
    seed: int = 0

    @property
    def _llm_type(self) -> str:
        return "qwen-vl"

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that shapes a reply, as JSON."""
        return {
            "family": self.dialect.name,
            "model": self.model,
            "hub": self.hub,
            "folder": str(self.checkpoint.folder),
            "chat_template": "checkpoint" if self.checkpoint.own_template else "flawlens",
            **dataclasses.asdict(self.placement),
            "temperature": self.temperature,
            "top_p": 1.0,
            "top_k": 0,
            "repetition_penalty": 1.0,
            "seed": self.seed,
            "max_new_tokens": self.max_new_tokens,
            "thought_tokens": self.thought_tokens,
            "thinking_tokens": self._thinking_tokens,
            "least_pixels": self.dialect.least_pixels,
            "most_pixels": self.dialect.most_pixels,
            "request_pixels": self.dialect.request_pixels,
            "longest_text": self.dialect.longest_text,
            "versions": {name: version(name) for name in ("torch", "transformers", "llguidance")},
        }

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return self.settings

    @property
    def _thinking_tokens(self) -> int:
        return self.max_new_tokens // 2 if self.thought_tokens else 0

    @cached_property
    def weights(self) -> Weights:
        """The loaded model; reads it at the first call of the process."""
        return load_weights(self.checkpoint.folder, self.placement)

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        calls: Sequence[Call] | None = None,
        seconds: float | None = None,
        **_: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Tell the model these tools; hold its reply to one of `calls`, when given, and to `seconds`."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], calls=calls, seconds=seconds)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        tools: Sequence[Tool] = (),
        calls: Sequence[Call] | None = None,
        seconds: float | None = None,
        **_: Any,
    ) -> Iterator[ChatGenerationChunk]:
        from agent.planners.qwen_generate import texts

        if stop:
            raise ValueError("stop words are not supported: a reply ends by its grammar or the model's own sign")
        generation = self._generation(messages, tools, calls, seconds)
        words = []
        with closing(iter(generation)) as ids:
            for text in texts(ids, self.weights.processor.tokenizer, self.weights.ends):
                words.append(text)
                chunk = ChatGenerationChunk(message=AIMessageChunk(content=text))
                if run_manager:
                    run_manager.on_llm_new_token(text, chunk=chunk)
                yield chunk
        names = [call["name"] for call in calls or ()] or [tool["function"]["name"] for tool in tools]
        yield ChatGenerationChunk(message=self._ending("".join(words), names, generation))

    def _generation(
        self, messages: list[BaseMessage], tools: Sequence[Tool], calls: Sequence[Call] | None, seconds: float | None
    ) -> Generation:
        from agent.planners.qwen_generate import Generation

        prompt, inputs = self.inputs(messages, tools)
        constraint = self._constraint(calls, prompt) if calls is not None else None
        return Generation(
            self.weights, inputs, self._generation_config(), constraint, seconds, self.seed + len(messages)
        )

    def _ending(self, text: str, names: Sequence[str], generation: Generation) -> AIMessageChunk:
        """The last chunk, with what is known only now: calls, usage, why the reply ended."""
        prompt = generation.inputs["input_ids"]
        told, generated = prompt.shape[1], len(generation.ids)
        metadata = {
            "finish_reason": generation.finish_reason,
            "prompt_tokens": told,
            "image_tokens": int((prompt == self.weights.processor.image_token_id).sum()),
            "model_name": self.model,
        }
        calls = read_reply(AIMessage(text, response_metadata=metadata), names).calls if names else ()
        return AIMessageChunk(
            content="",
            tool_call_chunks=[
                tool_call_chunk(
                    name=call["name"], args=json.dumps(call["args"], ensure_ascii=False), id=call["id"], index=number
                )
                for number, call in enumerate(calls)
            ],
            usage_metadata=UsageMetadata(input_tokens=told, output_tokens=generated, total_tokens=told + generated),
            response_metadata=metadata,
            chunk_position="last",
        )

    def prompt(self, messages: Sequence[BaseMessage], tools: Sequence[Tool] = ()) -> str:
        """The prompt as text, one `<|image_pad|>` a picture."""
        return self._rendered(turns(messages)[0], tools)

    def inputs(self, messages: Sequence[BaseMessage], tools: Sequence[Tool] = ()) -> tuple[str, dict[str, Tensor]]:
        """The prompt and the model's tensors, batch of one; ValueError for a picture whose sides do not fit."""
        told, pictures = turns(messages)
        for width, height in (picture.size for picture in pictures):
            if width % self.dialect.factor or height % self.dialect.factor:
                raise ValueError(f"a picture of {width}x{height} pixels is no multiple of {self.dialect.factor}")
        prompt = self._rendered(told, tools)
        # The wire has resized the pictures, and boxes count in their pixels: nothing may resize them again.
        found = self.weights.processor(text=[prompt], images=pictures or None, do_resize=False, return_tensors="pt")
        return prompt, dict(found)

    def _rendered(self, told: list[dict[str, Any]], tools: Sequence[Tool]) -> str:
        rendered = self.weights.processor.tokenizer.apply_chat_template(
            told,
            tools=list(tools) or None,
            chat_template=self.checkpoint.template,
            add_generation_prompt=True,
            tokenize=False,
        )
        return str(rendered)

    def _constraint(self, calls: Sequence[Call], prompt: str) -> Constraint:
        thinking: Thinking = "allowed" if "<think>" in self.checkpoint.template else "none"
        if prompt.rstrip().endswith("<think>"):
            thinking = "opened"
        return self.weights.grammars.constraint(calls, self.thought_tokens, thinking, self._thinking_tokens)

    def _generation_config(self) -> GenerationConfig:
        from transformers import GenerationConfig

        drawn = {"do_sample": True, "temperature": self.temperature, "top_k": 0, "top_p": 1.0}
        return GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=self.max_new_tokens,
            repetition_penalty=1.0,
            num_beams=1,
            **(drawn if self.temperature > 0 else {"do_sample": False}),
        )
