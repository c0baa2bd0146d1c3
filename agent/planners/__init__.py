"""Planners: every one is a langchain BaseChatModel."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from agent.wire.dialect import Dialect

DEFAULT_QWEN = "Qwen/Qwen2.5-VL-7B-Instruct"


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
    reasoning: bool = True,
    api_key: str | None = None,
) -> BaseChatModel:
    """The planner `rules`, `qwen:MODEL` or `openai:URL#MODEL`; PlannerError when it cannot be had.

    `hub`, `attention` and `device` are for qwen, `api_key` for openai; `dialect` names a family when the model's name
    does not tell it; `most_pixels` bounds each picture shown; `reasoning` off leaves no room for words before a call.
    """
    kind, _, model = name.partition(":")
    if name == "rules":
        from agent.planners.rules import RulesPlanner

        return RulesPlanner()
    if kind == "qwen":
        _need("qwen", "transformers", "llguidance", "torch")
        from agent.planners.qwen_vl import make_qwen_vl

        return make_qwen_vl(
            model or DEFAULT_QWEN,
            hub=hub,
            attention=attention,
            device=device,
            most_pixels=most_pixels,
            **({} if reasoning else {"thought_tokens": 0}),
        )
    if kind == "openai":
        _need("server", "langchain_openai")
        from agent.planners.server import make_server_planner

        return make_server_planner(
            model, api_key=api_key, dialect=_spoken(dialect, model, most_pixels), thoughts=reasoning
        )
    raise PlannerError(f"there is no planner {name!r}; the planners are: rules, qwen:MODEL, openai:URL#MODEL")


def _need(extra: str, *modules: str) -> None:
    """PlannerError with the command that installs an extra when its packages are missing."""
    from importlib.util import find_spec

    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise PlannerError(f"{', '.join(missing)} not installed; pip install 'flawlens[{extra}]'")


def _spoken(name: str | None, model: str, most_pixels: int | None) -> Dialect:
    """The dialect with this name, else the one that the model's name suggests, for a server: JSON actions."""
    from dataclasses import replace

    from agent.wire.dialect import DIALECTS, dialect_of

    if name is not None and name not in DIALECTS:
        raise PlannerError(f"there is no dialect {name!r}; the dialects are: {', '.join(DIALECTS)}")
    dialect = DIALECTS[name] if name else dialect_of(model)
    return replace(dialect, protocol="json", most_pixels=most_pixels or dialect.most_pixels)
