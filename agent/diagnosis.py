"""What is asked (Inspection) and what is answered (Submission by the planner, Diagnosis by the product)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tools.evidence import Evidence, Notation
from tools.image import Box

Verdict = Literal["normal", "defective", "uncertain"]
Severity = Literal["minor", "major", "critical"]
Disposition = Literal["accept", "rework", "repair", "scrap", "hold"]
Topic = Literal["defects", "object"]
Language = Literal["en", "zh"]
Outcome = Literal[
    "submitted", "answered", "turn_limit", "token_limit", "time_limit", "no_call", "malformed", "planner_failed"
]
Text = Annotated[str, Field(max_length=600)]
REVIEW_BAND = (0.4, 0.6)  # fused probabilities between which a person looks


@dataclass(frozen=True)
class Choice:
    """A question with several options, by letter; one of them is right."""

    question: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class Inspection:
    """One part to look at: `image` and `references` are files, `product` filters knowledge, `question` is free text.

    `topic` says what the question is about; None lets its words decide. `choices` are answered afterwards, from what
    the inspection found. `sheet` is text on the product that the planner reads beside what it retrieves.
    """

    image: Path
    references: tuple[Path, ...] = ()
    product: str | None = None
    question: str | None = None
    topic: Topic | None = None
    choices: tuple[Choice, ...] = ()
    sheet: str | None = None


@dataclass(frozen=True)
class Procedure:
    """How an inspection is carried out.

    Budgets: `turns` of the planner, `tokens` that it may generate in all, `seconds` of wall clock. `audit`: ask for the
    evidence against the verdict before it counts. `reasoning`: ask for steps of thought in words before a call.
    `detector_weight` (0-1) is the detector's share when its log-odds and the planner's are combined, `review` the fused
    probabilities between which the verdict is uncertain; a product's profile may hold others. `notation` is how a map
    is drawn for a model. `direct`: answer the choices from the pictures alone, without an inspection. `history`: each
    choice sees those before it and their answers. `without` are names of tools that are left out. `memory`: past cases
    of the product are recalled.
    """

    turns: int = 10
    tokens: int = 16_384
    seconds: float = 900.0
    audit: bool = True
    reasoning: bool = True
    language: Language = "en"
    detector_weight: float = 0.5
    review: tuple[float, float] = REVIEW_BAND
    notation: Notation = "heatmap"
    direct: bool = False
    history: bool = False
    without: tuple[str, ...] = ()
    memory: bool = True


def _ordered(box: list[float]) -> list[float]:
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= 1000 and 0 <= y0 < y1 <= 1000):
        raise ValueError("a box is [x0, y0, x1, y1] inside the part with x0 < x1 and y0 < y1")
    return box


class Defect(BaseModel):
    """One defect, each claim resting on evidence."""

    model_config = ConfigDict(extra="forbid")

    type: Annotated[str, Field(max_length=80, description="short name, such as scratch")]
    box: Annotated[
        list[float],
        Field(min_length=4, max_length=4, description="[x0, y0, x1, y1] of the part"),
        AfterValidator(_ordered),
    ]
    place: Annotated[str, Field(max_length=120, description="where on the part, in words")]
    appearance: Annotated[Text, Field(description="how it looks, with measurements")]
    severity: Severity
    effect: Annotated[Text, Field(description="what it does to function, safety or looks")]
    cause: Annotated[Text, Field(description="probable cause in the process")]
    evidence: Annotated[
        list[str], Field(min_length=1, max_length=12, description="ids of the evidence for it, such as E2")
    ]


class Repair(BaseModel):
    """What to do with the part and with the line."""

    model_config = ConfigDict(extra="forbid")

    disposition: Disposition
    actions: Annotated[
        list[Text],
        Field(max_length=8, description="each ends with a knowledge id in square brackets or [general practice]"),
    ] = Field(default_factory=list)
    prevention: Annotated[
        list[Text], Field(max_length=8, description="changes to the process, cited like the actions")
    ] = Field(default_factory=list)
    knowledge: Annotated[list[str], Field(max_length=12, description="ids of the knowledge entries used")] = Field(
        default_factory=list
    )


class Submission(BaseModel):
    """The planner's answer: the arguments of `submit_diagnosis`."""

    model_config = ConfigDict(extra="forbid")

    verdict: Verdict
    probability: Annotated[float, Field(ge=0, le=1, description="probability that the part is defective")]
    defects: Annotated[list[Defect], Field(max_length=8)] = Field(default_factory=list)
    repair: Repair
    summary: Annotated[str, Field(max_length=1200, description="the reasoning in a few sentences, citing evidence ids")]
    against: Annotated[Text, Field(description="the strongest evidence against this verdict")] = ""
    answer: Annotated[Text, Field(description="answer to the engineer's question, empty when none was asked")] = ""

    @model_validator(mode="after")
    def _agree(self) -> Submission:
        if (self.verdict == "normal" and self.probability > 0.5) or (
            self.verdict == "defective" and self.probability < 0.5
        ):
            raise ValueError(
                f"verdict {self.verdict} contradicts probability {self.probability}: it is the probability of a defect,"
                " not of the verdict"
            )
        return self


class ObjectAnswer(BaseModel):
    """The planner's answer to a question about the object: the arguments of `submit_answer`."""

    model_config = ConfigDict(extra="forbid")

    answer: Annotated[Text, Field(min_length=1, description="the answer, in one to three sentences")]
    evidence: Annotated[
        list[str], Field(max_length=12, description="ids of the evidence that the answer rests on, such as E2")
    ] = Field(default_factory=list)


class Usage(BaseModel):
    """What an inspection cost: tokens as the planner reports them, seconds in planner and tools.

    `tool_call_rate` is the share (0-1) of the planner's turns with at least one call that could be carried out;
    `image_tokens` are part of `prompt_tokens`, counted from the pictures' sizes when a server does not report them.
    """

    turns: int = 0
    prompt_tokens: int = 0
    image_tokens: int = 0
    completion_tokens: int = 0
    planner_seconds: float = 0.0
    tool_seconds: float = 0.0
    tool_calls: int = 0
    tool_call_rate: float = 0.0


class ChoiceAnswer(BaseModel):
    """What the planner said to a choice: `letter` when it named one by a call, `reply` its words; both may be empty.

    `failure` says why there is no reply.
    """

    letter: str | None = None
    reply: str = ""
    failure: str = ""
    seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Criterion(BaseModel):
    """A limit of a knowledge entry, applied to a defect (its number, from 1).

    `limit` says it in words; `measured` is in its unit and comes from `evidence`; both are unknown (None, "") where no
    tool measured it, and `exceeded` then is None.
    """

    defect: int
    knowledge: str
    limit: str
    measured: float | None
    evidence: str
    exceeded: bool | None


class Exchange(BaseModel):
    """A question that the agent asked the operator, or the operator the agent after the diagnosis, and the answer.

    `evidence` are the ids that the answer rests on, or became; an `outcome` other than answered says why there is none.
    """

    by: Literal["agent", "operator"]
    question: str
    answer: str
    evidence: list[str] = Field(default_factory=list)
    outcome: Outcome = "answered"


class Scores(BaseModel):
    """Probabilities of a defect: calibrated detector, planner, and both fused; None where there is none."""

    detector: float | None = None
    planner: float | None = None
    fused: float | None = None


class Diagnosis(BaseModel):
    """The result of one inspection. `confidence` is the probability of the verdict, 0 when nothing supports one.

    `degraded` says why the result deserves less trust, `notes` what the loader did to the pictures.
    """

    run_id: str
    verdict: Verdict
    confidence: float
    scores: Scores
    defects: list[Defect]
    repair: Repair
    summary: str
    against: str
    answer: str = ""
    evidence: list[Evidence]
    outcome: Outcome
    degraded: list[str]
    notes: list[str]
    planner: str
    image: str
    product: str | None
    seconds: float
    usage: Usage = Field(default_factory=Usage)
    choices: list[ChoiceAnswer] = Field(default_factory=list)
    criteria: list[Criterion] = Field(default_factory=list)
    exchanges: list[Exchange] = Field(default_factory=list)


def place_of(box: Box | list[float]) -> str:
    """Where the middle of a box lies, in words of a 3 x 3 grid, such as "upper left"."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    row = ("upper", "middle", "lower")[min(int(3 * y / 1000), 2)]
    column = ("left", "centre", "right")[min(int(3 * x / 1000), 2)]
    return "centre" if (row, column) == ("middle", "centre") else f"{row} {column}"
