"""What an inspection starts with: the first messages, and the calls that the graph makes by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage

from agent.diagnosis import Inspection, Procedure, Topic
from prompts import render

if TYPE_CHECKING:
    from knowledge_base.store import KnowledgeBase
    from tools.album import Album

ToolArguments = tuple[str, dict[str, Any]]


def study_calls(inspection: Inspection, topic: Topic, knowledge: KnowledgeBase) -> list[ToolArguments]:
    """Calls on the product: the same for every part of it, so that a server's prefix cache serves them."""
    if not inspection.product or not knowledge.knows(inspection.product) or topic == "object":
        return []
    return [("search_knowledge", {"query": f"typical defects of {inspection.product}"})]


def survey_calls(inspection: Inspection, *, recall: bool = False) -> list[ToolArguments]:
    """The cheap tools that look at the part before the planner is asked; `recall`: there are past cases."""
    compared: list[ToolArguments] = [("compare_with_reference", {"reference": "reference_1"})]
    recalled: list[ToolArguments] = [("recall_cases", {})]
    return [("anomaly_map", {}), *(compared if inspection.references else []), *(recalled if recall else [])]


def first_messages(inspection: Inspection, topic: Topic, album: Album, procedure: Procedure) -> list[AnyMessage]:
    """System text, product and references: the same for every part of the product; pictures are named by id."""
    system = render("system", topic=topic, reasoning=procedure.reasoning, language=procedure.language)
    references = [name for name in album.views if name.startswith("reference_")]
    product = render("product", topic=topic, product=inspection.product, references=len(references))
    return [SystemMessage(system), HumanMessage([_words(product), *map(_picture, references)])]


def task_message(inspection: Inspection, topic: Topic, procedure: Procedure) -> HumanMessage:
    """What is asked about the part, with its picture."""
    task = render("inspect", topic=topic, question=inspection.question, sheet=inspection.sheet, turns=procedure.turns)
    return HumanMessage([_words(task), _picture("part")])


def _words(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _picture(name: str) -> dict[str, str]:
    return {"type": "image", "file_id": name}
