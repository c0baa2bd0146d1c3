"""The planner's answer as a tool call, checked before it counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from langchain_core.tools import StructuredTool
from pydantic import BaseModel, Field, ValidationError

from agent.diagnosis import ObjectAnswer, Submission
from tools.evidence import Evidence

SUBMIT = "submit_diagnosis"
ANSWER = "submit_answer"
CHOOSE = "choose_option"
GENERAL_PRACTICE = "general practice"
Model = TypeVar("Model", bound=BaseModel)
_CITED = re.compile(r"\[([^\[\]]+)\]\s*$")


class Chosen(BaseModel):
    """The arguments of `choose_option`."""

    letter: Literal["A", "B", "C", "D", "E"] = Field(description="letter of the option that is right")


class SubmissionError(Exception):
    """What is wrong with an answer, in words for the planner."""


def _never_called(**_: object) -> str:
    raise AssertionError("an answer is taken by the graph")


submit_tool = StructuredTool.from_function(
    _never_called,
    name=SUBMIT,
    description=(
        "Submit the diagnosis. Use it once the evidence is gathered. Cite evidence ids (E1, ...) for every defect and"
        " knowledge ids for repair actions; probability is 0-1 that the part is defective."
    ),
    args_schema=Submission,
)

answer_tool = StructuredTool.from_function(
    _never_called,
    name=ANSWER,
    description=(
        "Submit the answer to the engineer's question about the object. Use it once you have seen enough; cite the ids"
        " of the evidence (E1, ...) that it rests on, if any."
    ),
    args_schema=ObjectAnswer,
)


choose_tool = StructuredTool.from_function(
    _never_called,
    name=CHOOSE,
    description=(
        "Answer a multiple-choice question with the letter of the option that is right. Use it only for a question that"
        " lists its options by letter."
    ),
    args_schema=Chosen,
)


def check(arguments: dict[str, Any], evidence: Sequence[Evidence]) -> Submission:
    """A valid Submission whose every id exists in this run, or a SubmissionError that says what to change."""
    submission = _valid(Submission, arguments)
    known = {item.id for item in evidence}
    retrieved = {str(passage["id"]) for item in evidence for passage in item.passages}
    cited = [identity for defect in submission.defects for identity in defect.evidence]
    _refuse("evidence", set(cited) - known, known)
    _refuse("knowledge", set(submission.repair.knowledge) - retrieved, retrieved)
    return _with_sources(submission, retrieved)


def check_answer(arguments: dict[str, Any], evidence: Sequence[Evidence]) -> ObjectAnswer:
    """A valid ObjectAnswer that cites only evidence of this run, or a SubmissionError."""
    found = _valid(ObjectAnswer, arguments)
    known = {item.id for item in evidence}
    _refuse("evidence", set(found.evidence) - known, known)
    return found


def _valid(model: type[Model], arguments: dict[str, Any]) -> Model:
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        raise SubmissionError("the answer does not fit: " + "; ".join(faults_of(error))) from error


def faults_of(error: ValidationError) -> list[str]:
    """What does not fit, each with the name of its argument."""
    return [f"{'.'.join(map(str, fault['loc'])) or 'answer'}: {fault['msg']}" for fault in error.errors()]


def _refuse(kind: str, unknown: set[str], known: set[str]) -> None:
    if unknown:
        have = ", ".join(sorted(known)) or "none"
        raise SubmissionError(f"there is no {kind} {', '.join(sorted(unknown))}; this run has: {have}")


def _with_sources(submission: Submission, retrieved: set[str]) -> Submission:
    """Every action ends with its source; one without is marked general practice, one with an unknown source refused."""

    def cited(action: str) -> str:
        source = _CITED.search(action)
        if source is None:
            return f"{action} [{GENERAL_PRACTICE}]"
        _refuse("knowledge", {source[1]} - retrieved - {GENERAL_PRACTICE}, retrieved)
        return action

    repair = submission.repair
    changed = {"actions": [*map(cited, repair.actions)], "prevention": [*map(cited, repair.prevention)]}
    return submission.model_copy(update={"repair": repair.model_copy(update=changed)})
