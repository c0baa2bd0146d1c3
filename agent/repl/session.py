"""What a chat is about: a part, good parts, a product, and the conversation once it was inspected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.conversation import Ask, Conversation
from agent.diagnosis import Inspection
from agent.inspector import Hear, Inspector, Watch
from tools.evidence import Evidence, ToolError

if TYPE_CHECKING:
    from agent.trace import Run

NO_PART = "no part yet: name a photograph with /image PATH"
NOT_INSPECTED = "the part is not inspected yet: press Enter to inspect it"


class ChatError(Exception):
    """What cannot be done now and what to do first, in one line."""


@dataclass
class Session:
    """A part that changes starts a new conversation; the old one stays in its run."""

    inspector: Inspector
    make_inspector: Callable[[str], Inspector]
    image: Path | None = None
    references: list[Path] = field(default_factory=list)
    product: str | None = None
    conversation: Conversation | None = None

    def show(self, image: Path) -> None:
        """Takes another photograph; the good parts and the product stay."""
        self.image, self.conversation = image.resolve(), None

    def compare_with(self, references: Sequence[Path]) -> None:
        """Adds good parts; the next inspection sees them."""
        self.references += [path.resolve() for path in references]
        self.conversation = None

    def name(self, product: str | None) -> None:
        """Says what the part is."""
        self.product, self.conversation = product, None

    def plan_with(self, planner: str) -> None:
        """Takes another planner, also for questions on what was found; PlannerError when it cannot be had."""
        self.inspector = self.make_inspector(planner)
        if self.conversation:
            self.conversation.inspector = self.inspector

    def resume(self, run_id: str) -> None:
        """Goes on with the conversation of a run."""
        self.conversation = Conversation.resume(self.inspector, run_id)
        inspection = self.conversation.case.inspection
        self.image, self.product = inspection.image, inspection.product
        self.references = list(inspection.references)

    def say(self, words: str, watch: Watch, hear: Hear, ask: Ask) -> Run:
        """Inspects the part, with the words as its question, or answers them from what was found."""
        if self.conversation is None:
            return self.begin(words or None, watch).inspect(watch, hear, ask)
        if self.conversation.run.diagnosis is None:
            if words:
                raise ChatError("the inspection has not ended: /continue goes on with it")
            return self.conversation.inspect(watch, hear, ask)
        return self.conversation.follow(words, watch, hear)

    def begin(self, question: str | None, watch: Watch) -> Conversation:
        """Opens the conversation on the part."""
        if self.image is None:
            raise ChatError(NO_PART)
        inspection = Inspection(self.image, tuple(self.references), self.product, question)
        self.conversation = Conversation.begin(self.inspector, inspection, watch)
        return self.conversation

    def carry_on(self, watch: Watch, hear: Hear, ask: Ask) -> Run:
        """Goes on with a turn that was stopped."""
        if not self.talking.pending:
            raise ChatError("nothing was stopped: type a question")
        return self.talking.inspect(watch, hear, ask)

    @property
    def talking(self) -> Conversation:
        """The conversation; ChatError when there is none."""
        if self.conversation is None:
            raise ChatError(NO_PART if self.image is None else NOT_INSPECTED)
        return self.conversation

    @property
    def inspected(self) -> Run:
        """The run with its diagnosis; ChatError when there is none."""
        run = self.talking.run
        if run.diagnosis is None:
            raise ChatError("the inspection has not ended: /continue goes on with it")
        return run

    def evidence(self) -> list[Evidence]:
        """All evidence of the thread."""
        return [Evidence(**item) for item in self.talking.state.get("evidence", [])]

    def found_by(self, tool: str, arguments: dict[str, Any]) -> Evidence:
        """What a tool says: as it was found before, else by calling it now; ChatError when it cannot say."""
        run = self.inspected
        known = [item for item in self.evidence() if item.tool == tool and _fits(item, arguments)]
        if known:
            return known[-1]
        try:
            return self.talking.call(tool, arguments)
        except ToolError as error:
            raise ChatError(f"{tool} of run {run.id}: {error}") from error


def _fits(item: Evidence, arguments: dict[str, Any]) -> bool:
    """Whether evidence was found with these arguments; a box is what zoom and enhance are called for anew."""
    return "box" not in arguments and ("reference" not in arguments or arguments["reference"] in item.finding)
