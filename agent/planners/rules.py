"""The embedded planner `rules`: no language model, only the evidence and the knowledge base.

It looks at each region beyond the normal range, measures it, searches the knowledge base with the measured words and
submits. Its probability starts from the calibrated detector and moves with what the other tools say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool

from agent.memory import unknown
from agent.planners.rules_answer import MAPS, answer, evidence_in
from agent.planners.rules_choice import choice_in, choose
from agent.planners.rules_followup import follow, question_in
from agent.submission import ANSWER, CHOOSE, SUBMIT
from tools.evidence import Evidence, Region
from tools.image import Box

MOST_LOOKS = 3
MARGIN = 0.15  # of the box's sides: the surroundings a mark is seen against


class RulesPlanner(BaseChatModel):
    """A chat model that answers tool calls by fixed rules; it reads the evidence in the tool messages."""

    dialect: None = None  # reads the evidence in the state itself
    offered: tuple[str, ...] = ()

    @property
    def _llm_type(self) -> str:
        return "rules"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> RulesPlanner:
        """A copy that may call these tools."""
        return self.model_copy(update={"offered": tuple(tool.name for tool in tools if isinstance(tool, BaseTool))})

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> ChatResult:
        thought, calls = self._chosen(messages) or self._followed(messages) or self._next(messages)
        named = [
            ToolCall(name=name, args=arguments, id=f"rules_{len(messages)}_{number}")
            for number, (name, arguments) in enumerate(calls)
        ]
        return ChatResult(generations=[ChatGeneration(message=AIMessage(thought, tool_calls=named))])

    def _chosen(self, messages: Sequence[BaseMessage]) -> tuple[str, list[tuple[str, dict[str, Any]]]] | None:
        """The answer to a multiple-choice question, when the last message asks one; no call where it has no opinion."""
        asked = choice_in(messages[-1])
        if asked is None:
            return None
        evidence = evidence_in(messages)
        letter, why = choose(asked["question"], asked["options"], asked["facts"], evidence, suspicious(evidence))
        return why, [(CHOOSE, {"letter": letter})] if letter else []

    def _followed(self, messages: Sequence[BaseMessage]) -> tuple[str, list[tuple[str, dict[str, Any]]]] | None:
        """A step towards the answer to the operator's question, when one was asked after the diagnosis."""
        asked = question_in(messages) if ANSWER in self.offered and SUBMIT not in self.offered else None
        return follow(asked, messages, self.offered) if asked else None

    def _next(self, messages: Sequence[BaseMessage]) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
        evidence = evidence_in(messages)
        tried = {message.name for message in messages if isinstance(message, ToolMessage)}
        suspects = suspicious(evidence)
        if suspects and "zoom" in self.offered and "zoom" not in tried:
            looks = [("zoom", {"image": "part", "box": widened(region)}) for region in suspects[:MOST_LOOKS]]
            return (
                f"{_counted(len(suspects), 'region')} beyond the normal range: look closer and measure.",
                looks,
            )
        query = words(evidence)
        if query and "search_knowledge" in self.offered and not _asked_since_look(messages):
            return f"The mark measures as: {query}. Which entries describe that?", [
                ("search_knowledge", {"query": query})
            ]
        audited = any(isinstance(message, ToolMessage) and message.name == SUBMIT for message in messages)
        submission = answer(evidence, suspects)
        thought = f"Evidence against: {submission.against}" if audited else submission.summary
        return thought, [(SUBMIT, submission.model_dump())]


def suspicious(evidence: Sequence[Evidence]) -> list[tuple[str, Region]]:
    """Regions beyond the normal range with the id of their evidence.

    The map's, each narrowed to what the comparison shows inside it, else the comparison's.
    """
    mapped, compared = (_beyond(evidence, tool) for tool in MAPS)
    if not mapped:
        return compared
    found: list[tuple[str, Region]] = []
    for one in mapped:
        narrower = [other for other in compared if _inside(other[1].box, one[1].box)]
        # Boxes of the map may overlap and hold the same difference.
        found += [suspect for suspect in narrower or [one] if suspect not in found]
    return found


def _beyond(evidence: Sequence[Evidence], tool: str) -> list[tuple[str, Region]]:
    return [
        (item.id, region)
        for item in evidence
        if item.tool == tool and item.above_normal
        for region in unknown(item, evidence)
    ]


def _inside(box: Box, other: Box) -> bool:
    """Whether the middle of a box lies in the other one."""
    x, y = box.middle
    return other.x0 <= x <= other.x1 and other.y0 <= y <= other.y1


def widened(suspect: tuple[str, Region]) -> list[float]:
    """The region's box with a margin, at least a fiftieth of the picture a side, inside the picture."""
    box = suspect[1].box
    x0, y0, x1, y1 = box
    half_width = max((x1 - x0) * (0.5 + MARGIN), 10)
    half_height = max((y1 - y0) * (0.5 + MARGIN), 10)
    x, y = box.middle
    edges = (x - half_width, y - half_height, x + half_width, y + half_height)
    return [round(min(max(edge, 0), 1000), 1) for edge in edges]


def words(evidence: Sequence[Evidence]) -> str:
    """A search query from the first look that shows a mark."""
    looks = [item for item in evidence if item.tool == "zoom"]
    if not looks:
        return ""
    found = looks[0].numbers
    place = "" if float(found["on_part"]) >= 0.5 else " beside the part"
    return f"{found['looks']}{place}"


def _asked_since_look(messages: Sequence[BaseMessage]) -> bool:
    names = [message.name for message in messages if isinstance(message, ToolMessage)]
    return "zoom" in names and "search_knowledge" in names[names.index("zoom") :]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
