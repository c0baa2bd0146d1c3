"""The planner on a server that speaks OpenAI's chat API: vLLM, llama.cpp, Ollama, SGLang, a hosted service.

It asks for as much as the server takes and remembers what it refused: constrained replies, else native tool calls; any
number of pictures, else one, else none. Settled choices, with their reasons:

- `response_format` is the only constraint that all of these servers know. vLLM turns it into its own
  `structured_outputs` and refuses a request that carries both.
- `strict` is not set: OpenAI's strict mode refuses alternatives at the top of a schema, the others ignore the word.
- It goes into `extra_body`, since the SDK raises an error on a constrained reply that was cut off at `max_tokens`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from itertools import chain, count
from typing import Any, NoReturn, TypeVar

import httpx2
import openai
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import Field, PrivateAttr, SecretStr

from agent.planners import REPLY_TOKENS, AskAgain, PlannerError, bounded
from agent.planners.server_address import ServerClient, find_model, no_server
from agent.planners.server_errors import (
    FAILURES,
    LONGEST_PAUSE,
    BadReplyError,
    Failure,
    failure_of,
    one_line,
    pictures_in,
    refusal,
)
from agent.planners.server_replies import completion, piece
from agent.wire.dialect import GENERIC, Call, Dialect, dialect_of
from agent.wire.replies import native_calls

CONNECT_SECONDS = 10.0
LONGEST_THOUGHT = 400  # characters
THOUGHT = 3  # a thought in units of the longest text of a field, at most
GUESSED = "the model's name tells no family: boxes are asked for in 0-1000; --dialect names one"

Result = TypeVar("Result")


def make_server_planner(
    address: str,
    *,
    api_key: str | None = None,
    dialect: Dialect | None = None,
    most_pixels: int | None = None,
    longest_text: int | None = None,
    timeout: float | None = None,
    retries: int = 3,
    temperature: float = 0.0,
    max_tokens: int = REPLY_TOKENS,
    seed: int = 0,
    thoughts: bool = True,
) -> ServerPlanner:
    """The planner at `URL#MODEL`; the server is asked once whether it serves that model.

    `dialect`: None for the one that the model's name suggests; `most_pixels` of one picture and the `longest_text` of
    one field, in characters, replace its own. `timeout`: seconds for one whole answer, None for those that
    `bind_tools` is given; `retries`: further tries after busy, failing or unreachable servers; `thoughts` off leaves
    no room for a thought before a constrained call.
    Raises PlannerError when the server cannot be used as addressed.
    """
    http = ServerClient(api_key)
    url, model = find_model(http, address)
    spoken = dialect or replace(dialect_of(model), protocol="json")
    spoken = spoken if most_pixels is None else bounded(spoken, most_pixels)
    return ServerPlanner(
        dialect=replace(spoken, longest_text=longest_text or spoken.longest_text),
        adaptations=[GUESSED] if dialect is None and spoken.name == GENERIC.name else [],
        retries=retries,
        model=model,
        base_url=url,
        http_client=http,
        patience=timeout,
        thoughts=thoughts,
        temperature=temperature,
        max_tokens=max_tokens,
        seed=seed,
        # What follows keeps langchain-openai from looking into the environment; the key is the HTTP client's alone.
        api_key=SecretStr("not used"),
        max_retries=0,
        openai_proxy=None,
        output_version="v0",
        use_responses_api=False,
    )


class ServerPlanner(BaseChatOpenAI):
    """A chat model on a server; `adaptations` says in sentences what it did without since the server refused it."""

    dialect: Dialect
    retries: int = 3
    adaptations: list[str] = Field(default_factory=list)
    patience: float | None = None
    thoughts: bool = True
    _refused: set[str] = PrivateAttr(default_factory=set)

    @property
    def _llm_type(self) -> str:
        return "server"

    @property
    def _server(self) -> ServerClient:
        assert isinstance(self.http_client, ServerClient)
        return self.http_client

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that shapes what the server generates, without the key."""
        return {
            "url": self.openai_api_base,
            "model": self.model_name,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "thoughts": self.thoughts,
            "timeout": self.patience,
            "retries": self.retries,
            "dialect": asdict(self.dialect),
            "adaptations": list(self.adaptations),
        }

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        calls: Sequence[Call] | None = None,
        seconds: float | None = None,
        **_: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The planner told of `tools`, of which `calls` may be called now, None for any or none, within `seconds`."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], calls=calls, seconds=seconds)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        seconds: float | None = None,
        **asked: Any,
    ) -> ChatResult:
        return self._persistently(
            lambda: self._get_request_payload(messages, stop=stop, **asked),
            lambda payload: self._create_chat_result(self.client.create(**payload)),
            seconds,
        )

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        seconds: float | None = None,
        **asked: Any,
    ) -> Iterator[ChatGenerationChunk]:
        stream, first = self._persistently(
            lambda: self._get_request_payload(messages, stop=stop, **asked, stream=True),
            lambda payload: _opened(self.client.create(**payload)),
            seconds,
        )
        ended = False
        with closing(stream), self._explained(seconds):
            for event in chain([first], stream):
                chunk = self._convert_chunk_to_generation_chunk(event, AIMessageChunk, None)
                ended = ended or "finish_reason" in (chunk.generation_info or {})
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
            if not ended:
                raise BadReplyError("the stream ended before the reply did")

    # langchain-openai's own would go through another HTTP client, with other limits and headers.
    _agenerate = BaseChatModel._agenerate
    _astream = BaseChatModel._astream

    def _get_request_payload(
        self,
        input_: LanguageModelInput,
        *,
        stop: list[str] | None = None,
        tools: Sequence[dict[str, Any]] = (),
        calls: Sequence[Call] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        payload: dict[str, Any] = super()._get_request_payload(input_, stop=stop, **kwargs)
        if payload["stream"]:
            payload["stream_options"] = {"include_usage": True}
        if self.dialect.protocol == "tools" and tools:
            only = {"type": "function", "function": {"name": calls[0]["name"]}} if calls and len(calls) == 1 else "auto"
            payload |= {"tools": list(tools), "tool_choice": only}
        if self.dialect.protocol == "json" and calls:
            longest = min(THOUGHT * self.dialect.longest_text, LONGEST_THOUGHT) if self.thoughts else 0
            payload["extra_body"] = {"response_format": response_format(calls, longest)}
        return self._without_refused(payload)

    def _without_refused(self, payload: dict[str, Any]) -> dict[str, Any]:
        if "tool_choice" in self._refused and "tool_choice" in payload:
            payload["tool_choice"] = "auto"
        if "max_tokens" in self._refused:
            payload["max_completion_tokens"] = payload["max_tokens"]
        return {name: value for name, value in payload.items() if name == "tool_choice" or name not in self._refused}

    def _create_chat_result(self, response: Any, generation_info: dict[str, Any] | None = None) -> ChatResult:
        plain, reasoning, calls = completion(response)
        result = super()._create_chat_result(plain, generation_info)
        message = result.generations[0].message
        assert isinstance(message, AIMessage)
        message.tool_calls, message.invalid_tool_calls = native_calls(calls)
        if reasoning:
            message.additional_kwargs["reasoning_content"] = reasoning
        return result

    def _convert_chunk_to_generation_chunk(
        self, chunk: Any, default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> ChatGenerationChunk:
        plain, reasoning = piece(chunk)
        converted = super()._convert_chunk_to_generation_chunk(plain, default_chunk_class, base_generation_info)
        assert converted is not None  # only for kinds of events that `piece` does not pass on
        if reasoning:
            converted.message.additional_kwargs["reasoning_content"] = reasoning
        return converted

    def _persistently(
        self, build: Callable[[], dict[str, Any]], ask: Callable[[dict[str, Any]], Result], seconds: float | None
    ) -> Result:
        """What `ask` gives for the built request, tried again after passing failures while `seconds` last."""
        until = time.monotonic() + (math.inf if seconds is None else seconds)
        for tries in count(1):
            payload = build()
            patience = max(self._patience(until - time.monotonic()), 0.0)
            try:
                return ask({**payload, "timeout": _timeout(patience)})
            except FAILURES as error:
                failure = self._failure(error)
            if self._adapted(failure, payload):
                continue
            pause = failure.pause(tries)
            if not failure.passing or tries > self.retries or pause > min(LONGEST_PAUSE, until - time.monotonic()):
                raise self._error(failure, tries, patience)
            time.sleep(pause)
        raise AssertionError("unreachable")

    def _adapted(self, failure: Failure, payload: Mapping[str, Any]) -> bool:
        """Whether the same request can be put again at once; AskAgain and PlannerError for the other refusals."""
        refused, text = refusal(failure, payload), failure.text
        if refused == "context":
            raise PlannerError(
                f"the request is longer than {self.model_name} takes ({text}): give fewer references, or start the "
                "server with a longer context (vLLM --max-model-len, llama.cpp --ctx-size, Ollama num_ctx)"
            )
        if refused == "tools":
            raise PlannerError(
                "; ".join([*self.adaptations, f"{self.openai_api_base} takes no tools ({text})"])
                + ": start vLLM with --enable-auto-tool-choice --tool-call-parser hermes, llama.cpp with --jinja, "
                "or serve a model that calls tools"
            )
        if refused == "response_format":
            self._change(f"the server takes no response_format ({text}): tools are called natively", protocol="tools")
        if refused == "one picture" and pictures_in(payload) > 1:
            self._change(f"the server takes one picture ({text}): all are put on one canvas", most_pictures=1)
        if refused in ("one picture", "pictures"):
            self._change(f"the server takes no pictures ({text}): the planner reads the evidence", most_pictures=0)
        if refused is None:
            return False
        self._refused.add(refused)
        self._note(f"the server takes no {refused} ({text}): it is not sent")
        return True

    def _change(self, sentence: str, **changes: Any) -> NoReturn:
        self.dialect = replace(self.dialect, **changes)
        self._note(sentence)
        raise AskAgain(sentence)

    def _note(self, sentence: str) -> None:
        if sentence not in self.adaptations:
            self.adaptations.append(sentence)

    def _failure(self, error: Exception) -> Failure:
        failure = failure_of(error)
        return replace(failure, text=self._server.without_key(failure.text))

    @contextmanager
    def _explained(self, seconds: float | None) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            failure = self._failure(error)
        else:
            return
        raise self._error(failure, 1, self._patience(seconds))

    def _patience(self, seconds: float | None) -> float:
        """Seconds for one answer when so many are left."""
        return min(math.inf if limit is None else limit for limit in (self.patience, seconds))

    def _error(self, failure: Failure, tries: int, seconds: float) -> PlannerError:
        url, status, text = self.openai_api_base or "", failure.status, failure.text
        after = f" after {tries} tries" if tries > 1 else ""
        option = "timeout" if seconds == self.patience else "--seconds"
        if status == "connect":
            return no_server(url, text)
        if status in (401, 403):
            return self._server.refused(url, int(status))
        lines: dict[int | str, str] = {
            "time": f"{url} gave no whole answer in {seconds:.3g} s: raise {option}, or serve a smaller model",
            "broken": f"{url} broke off its answer{after} ({text}): look at the server's log",
            "reply": f"{url} answers without a reply ({text}): is it a chat server? Look at its log",
            404: f"{url} does not know the model {self.model_name!r} or the path /chat/completions ({text})",
            413: f"{url} does not take so large a request ({text}): give fewer references, or raise its limit",
            429: f"{url} is busy, or a quota is used up{after} ({text}): try again later",
        }
        return PlannerError(lines.get(status, f"{url} answers {status}{after} ({text}): look at the server's log"))


def response_format(calls: Sequence[Call], longest_text: int) -> dict[str, Any]:
    """The `response_format` that leaves one of these calls, after a thought of at most so many characters, 0: none."""
    thought = {"thought": {"type": "string", "maxLength": longest_text}} if longest_text else {}
    variants = [{**thought, "name": {"const": call["name"]}, "arguments": call["arguments"]} for call in calls]
    actions = [
        {"type": "object", "properties": variant, "required": [*variant], "additionalProperties": False}
        for variant in variants
    ]
    schema = actions[0] if len(actions) == 1 else {"anyOf": actions}
    return {"type": "json_schema", "json_schema": {"name": "next_step", "schema": schema}}


def _timeout(seconds: float) -> httpx2.Timeout:
    return httpx2.Timeout(None if math.isinf(seconds) else seconds, connect=min(seconds, CONNECT_SECONDS))


def _opened(stream: Any) -> tuple[Any, Any]:
    """The stream and its first event, so that an error in place of a reply is met before anything is passed on."""
    if not isinstance(stream, openai.Stream):
        raise BadReplyError(f"no stream but {one_line(str(stream))!r}")
    first = next(stream, None)
    if first is None:
        raise BadReplyError("an empty stream")
    piece(first)
    return stream, first
