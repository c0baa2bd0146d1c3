"""Planners: every one is a langchain BaseChatModel."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from agent.wire.dialect import Dialect

DEFAULT_QWEN = "Qwen/Qwen2.5-VL-7B-Instruct"
REPLY_TOKENS = 2048
THOUGHT_SHARE = 8  # a thought takes at most this part of a reply's tokens
REQUEST = 8  # pixels of a request in units of one picture's most
ROOM = 2  # between the limits of a picture, so that it keeps its aspect in steps of the dialect's factor


class PlannerError(Exception):
    """A planner that cannot be had or does not answer: what, why and the remedy in one line for a person."""


class AskAgain(Exception):  # noqa: N818 - not an error
    """The planner has changed its dialect, since the server refused something: the same turn is put in that dialect."""


def make_planner(
    name: str,
    *,
    hub: str = "huggingface",
    attention: str = "auto",
    device: str = "auto",
    dialect: str | None = None,
    most_pixels: int | None = None,
    reply_tokens: int = REPLY_TOKENS,
    reasoning: bool = True,
    api_key: str | None = None,
) -> BaseChatModel:
    """The planner `rules`, `qwen:MODEL` or `openai:URL#MODEL`; PlannerError when it cannot be had.

    `hub`, `attention` and `device` are for qwen, `api_key` and `dialect` for openai, the latter where the model's name
    does not tell its family; `most_pixels` bounds each picture shown, `reply_tokens` one reply; `reasoning` off leaves
    no room for words before a call.
    """
    kind, _, model = name.partition(":")
    if name == "rules":
        from agent.planners.rules import RulesPlanner

        return RulesPlanner()
    if kind == "qwen":
        if dialect is not None:
            raise PlannerError(
                "a qwen: model's family comes from its checkpoint: leave --dialect out, openai: takes it"
            )
        need("qwen", "transformers", "llguidance", "torch")
        from agent.planners.qwen_vl import make_qwen_vl

        return make_qwen_vl(
            model or DEFAULT_QWEN,
            hub=hub,
            attention=attention,
            device=device,
            most_pixels=most_pixels,
            longest_text=longest_text(reply_tokens),
            max_new_tokens=reply_tokens,
            thought_tokens=reply_tokens // THOUGHT_SHARE if reasoning else 0,
        )
    if kind == "openai":
        need("server", "langchain_openai")
        from agent.planners.server import make_server_planner

        return make_server_planner(
            model,
            api_key=api_key,
            dialect=_named(dialect),
            most_pixels=most_pixels,
            longest_text=longest_text(reply_tokens),
            max_tokens=reply_tokens,
            thoughts=reasoning,
        )
    raise PlannerError(f"there is no planner {name!r}; the planners are: rules, qwen:MODEL, openai:URL#MODEL")


def need(extra: str, *modules: str) -> None:
    """PlannerError with the command that installs an extra when its packages are missing."""
    from importlib.util import find_spec

    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise PlannerError(f"{', '.join(missing)} not installed; pip install 'flawlens[{extra}]'")


def _named(name: str | None) -> Dialect | None:
    """The dialect with this name, for a server: JSON actions."""
    from dataclasses import replace

    from agent.wire.dialect import DIALECTS

    if name is None:
        return None
    if name not in DIALECTS:
        raise PlannerError(f"there is no dialect {name!r}; the dialects are: {', '.join(DIALECTS)}")
    return replace(DIALECTS[name], protocol="json")


def longest_text(reply_tokens: int) -> int:
    """Characters of one text such that a diagnosis of three defects fits into so many tokens, 40 to 400."""
    return min(max(reply_tokens // 16, 40), 400)


def bounded(dialect: Dialect, most_pixels: int) -> Dialect:
    """The dialect with pictures of at most `most_pixels` and its other limits in step; PlannerError for too few."""
    from dataclasses import replace

    if most_pixels < dialect.factor**2:
        raise PlannerError(
            f"pictures of at most {most_pixels} pixels are too small for this model; raise --image-pixels"
        )
    least = min(dialect.least_pixels, most_pixels // ROOM)
    return replace(dialect, least_pixels=least, most_pixels=most_pixels, request_pixels=REQUEST * most_pixels)
