"""The tools a planner can call, in the order in which they are usually called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import cleandoc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from knowledge_base.store import KnowledgeBase
    from tools.album import Album
    from tools.cases.store import Remembered
    from tools.detectors import Detector
    from tools.evidence import Notation

OF_THE_OBJECT = (
    "zoom",
    "enhance",
    "measure",
    "search_knowledge",
)  # they help with questions about the object
MOST_CALLS = {  # how often a tool is of use in one run
    "anomaly_map": 1,
    "find_similar_normals": 1,
    "recall_cases": 1,
    "zoom": 6,
    "enhance": 4,
    "measure": 6,
    "search_knowledge": 4,
}


def toolbox(
    album: Album,
    detector: Callable[[], Detector],
    knowledge: KnowledgeBase,
    product: str | None,
    language: str = "en",
    *,
    notation: Notation = "heatmap",
    mm_per_pixel: float | None = None,
    alone: Callable[[], Detector] | None = None,
    remembered: Callable[[], Sequence[Remembered]] | None = None,
) -> Sequence[BaseTool]:
    """Every tool of one run, closed over its pictures; a new tool is one file and one line here."""
    from tools.anomaly_map import make_anomaly_map
    from tools.compare import make_compare
    from tools.enhance import make_enhance
    from tools.measure import make_measure
    from tools.recall_cases import make_recall_cases
    from tools.search_knowledge import make_search_knowledge
    from tools.similar import make_find_similar_normals
    from tools.zoom import make_zoom

    tools = [
        make_anomaly_map(album, detector, notation, alone),
        make_find_similar_normals(album),
        make_compare(album),
        make_zoom(album, mm_per_pixel),
        make_enhance(album),
        make_measure(album, mm_per_pixel),
        make_search_knowledge(knowledge, product, language),
        *([make_recall_cases(album, remembered)] if remembered else []),
    ]
    for tool in tools:
        tool.description = cleandoc(tool.description)
    return tools
