"""Replies of servers, put into the shape that langchain-openai reads: it fails on some, and drops all reasoning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import openai

from agent.planners.server_errors import BadReplyError, error_in


def completion(answer: Any) -> tuple[dict[str, Any], str, list[dict[str, Any]]]:
    """The answer with its first choice in order, its reasoning and its calls; BadReplyError without a message.

    The calls stand apart, since langchain-openai raises an error on arguments that are JSON but no object.
    """
    plain = _plain(answer)
    choices = plain.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict) or not isinstance(first.get("message"), dict):
        raise BadReplyError("the answer holds no message")
    message, reasoning = _in_order(first["message"])
    calls = message.pop("tool_calls")
    choice = {**first, "message": {**message, "role": "assistant"}}
    return {**plain, "choices": [choice], "usage": _usage(plain)}, reasoning, calls


def piece(event: Any) -> tuple[dict[str, Any], str]:
    """One event of a stream with its first choice in order, and the reasoning in it."""
    plain = _plain(event)
    choices = plain.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict):
        return {**plain, "choices": [], "usage": _usage(plain)}, ""
    delta, reasoning = _in_order(first.get("delta") or {})
    calls = [{"index": number, **_as_text(call)} for number, call in enumerate(delta.pop("tool_calls", []))]
    choice = {**first, "delta": {**delta, "role": "assistant", "tool_calls": calls}}
    return {**plain, "choices": [choice], "usage": _usage(plain)}, reasoning


def _plain(answer: Any) -> dict[str, Any]:
    plain = answer.model_dump(warnings=False) if isinstance(answer, openai.BaseModel) else answer
    problem = error_in(plain)
    if problem:
        raise problem
    return dict(plain)


def _in_order(message: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    calls = message.get("tool_calls")
    calls = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    named = [{**call, "function": call["function"]} for call in calls if isinstance(call.get("function"), dict)]
    # vLLM, SGLang and llama.cpp say reasoning_content, newer vLLM, Ollama and OpenRouter say reasoning.
    reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    return {"content": _text(message.get("content")), "tool_calls": named}, _text(reasoning)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _as_text(call: dict[str, Any]) -> dict[str, Any]:
    """A piece of a call with its arguments as text, which some servers send as an object."""
    arguments = call["function"].get("arguments")
    text = arguments if isinstance(arguments, str) or arguments is None else json.dumps(arguments)
    return {**call, "function": {**call["function"], "arguments": text}}


def _usage(answer: Mapping[str, Any]) -> dict[str, Any] | None:
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    counted = all(isinstance(usage.get(name), int) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    return usage if counted else None
