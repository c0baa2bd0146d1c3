"""The tools a planner can call, in the order in which they are usually called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import cleandoc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from knowledge_base.store import KnowledgeBase
    from tools.album import Album
    from tools.detectors import Detector

OF_THE_OBJECT = ("zoom", "search_knowledge")  # tools that help with questions about the object itself
MOST_CALLS = {"anomaly_map": 1, "zoom": 6, "search_knowledge": 4}  # how often a tool is of use in one run


def toolbox(
    album: Album, detector: Callable[[], Detector], knowledge: KnowledgeBase, product: str | None, language: str = "en"
) -> Sequence[BaseTool]:
    """Every tool of one run, closed over its pictures; a new tool is one file and one line here."""
    from tools.anomaly_map import make_anomaly_map
    from tools.compare import make_compare
    from tools.search_knowledge import make_search_knowledge
    from tools.zoom import make_zoom

    tools = [
        make_anomaly_map(album, detector),
        make_compare(album),
        make_zoom(album),
        make_search_knowledge(knowledge, product, language),
    ]
    for tool in tools:
        tool.description = cleandoc(tool.description)
    return tools
