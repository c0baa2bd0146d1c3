"""Planners: every one is a langchain BaseChatModel."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


class PlannerError(Exception):
    """A planner that cannot be had, with the remedy in the text."""


def make_planner(name: str) -> BaseChatModel:
    """The planner with this name; PlannerError names the ones that exist."""
    if name == "rules":
        from agent.planners.rules import RulesPlanner

        return RulesPlanner()
    raise PlannerError(f"there is no planner {name!r}; the planners are: rules")
