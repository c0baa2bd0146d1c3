"""Past inspections that an operator confirmed or corrected."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tools.image import Box

Word = Literal["normal", "defective"]  # what an operator says that a part really is
LONGEST_TYPE, LONGEST_NOTE = 80, 600  # characters
Outcome = Literal["confirmed", "wrong alarm", "missed", "decided"]


class Mark(BaseModel):
    """A region that a tool reported; a mark at least as much like it as `needed` (a cosine) is the same thing again.

    None where a defect could pass for it, or where it was not compared with good parts.
    """

    model_config = ConfigDict(frozen=True)

    box: Box
    score: float
    needed: float | None = None


class Case(BaseModel):
    """One inspection with what the operator says of it: `verdict` is the operator's, `said` was the agent's."""

    model_config = ConfigDict(frozen=True)

    format: Literal["flawlens-case-1"] = "flawlens-case-1"
    id: str = Field(pattern=r"^[0-9a-z-]+$")
    product: str | None
    at: str
    verdict: Word
    said: Literal["normal", "defective", "uncertain"]
    type: str = Field(max_length=LONGEST_TYPE)
    note: str = Field(max_length=LONGEST_NOTE)
    summary: str
    findings: tuple[str, ...]
    marks: tuple[Mark, ...]

    @property
    def outcome(self) -> Outcome:
        """How the agent's verdict stands to the operator's."""
        if self.said == "uncertain":
            return "decided"
        if self.said == self.verdict:
            return "confirmed"
        return "missed" if self.verdict == "defective" else "wrong alarm"
