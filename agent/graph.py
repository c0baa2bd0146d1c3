"""The inspection as a state machine: survey, plan <-> act, submit, audit, fuse.

survey  the graph itself runs the cheap tools, so that evidence never depends on a planner asking for it
plan    the planner sees messages, pictures and tools; what it may call is narrowed to what is still useful
act     the tools it asked for run; every result is filed as evidence E1, E2, ...
remind  a turn without a call is answered once
repair  a reply that cannot be read goes back with its fault, twice at most; then only the answer is offered
submit  the answer is checked against its schema and against the ids it cites; a wrong one goes back
audit   one refutation: what speaks against the verdict?
fuse    detector and planner are combined outside the planner
ask     where a person is there: one question to the operator when the verdict stays open; the answer is evidence

A later turn of the same thread begins at plan with a question of the operator and ends with an answer.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypedDict, get_args

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import interrupt

from agent.briefing import ToolArguments
from agent.calls import all_malformed, calls_of, carry_out, left_of
from agent.criteria import judge
from agent.diagnosis import ObjectAnswer, Outcome, Procedure, Submission, Verdict
from agent.fusion import scores, settle, verdict_of
from agent.operator import as_evidence, question_on
from agent.planners import PlannerError
from agent.submission import ANSWER, SubmissionError, check, check_answer
from agent.wire import Wire
from prompts import render
from tools.evidence import Evidence

Graph = CompiledStateGraph["State", None, "State", "State"]
MOST_REPAIRS = 2
LATE = 0.8  # share of the wall clock after which only the answer is offered


class State(TypedDict, total=False):
    """Plain types only: pictures are files, evidence and submission are `model_dump()`s."""

    messages: Annotated[list[AnyMessage], add_messages]
    evidence: Annotated[list[dict[str, Any]], operator.add]
    spent: Annotated[list[dict[str, Any]], operator.add]
    carried_out: Annotated[list[tuple[int, str]], operator.add]
    closing: bool
    faulty: Annotated[int, operator.add]
    reminded: bool
    accepted: bool
    audited_at: int | None
    unaudited: bool
    disputed: bool
    submission: dict[str, Any]
    outcome: Outcome | None
    failure: str
    result: dict[str, Any]
    question: str
    answered: dict[str, Any]
    asked: bool


# What a new answer of the planner starts from; what was found and said before stays.
FRESH_TURN: State = {
    "closing": False,
    "reminded": False,
    "accepted": False,
    "audited_at": None,
    "unaudited": False,
    "disputed": False,
    "submission": {},
    "outcome": None,
    "failure": "",
}


@dataclass(frozen=True)
class Room:
    """What one inspection has to work with.

    `study` are calls whose results are the same for every part of a product, `task` names the part, `survey` are the
    calls on it. `submit` takes the answer; `most_calls` says how often a tool is of use. `asks`: an operator is there.
    """

    wire: Wire
    tools: Sequence[BaseTool]
    submit: BaseTool
    task: HumanMessage
    study: Sequence[ToolArguments] = ()
    survey: Sequence[ToolArguments] = ()
    most_calls: Mapping[str, int] = field(default_factory=dict)
    procedure: Procedure = field(default_factory=Procedure)
    asks: bool = False
    started: float = field(default_factory=time.monotonic)

    def seconds_left(self) -> float:
        """Seconds of the wall-clock budget that are left, 0 or less when it is over."""
        return self.procedure.seconds - (time.monotonic() - self.started)

    @property
    def reserve(self) -> float:
        """Seconds that are kept for the answer."""
        return (1 - LATE) * self.procedure.seconds

    def out_of_tokens(self, spent: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the planner has generated all that it may."""
        return bool(sum(turn["completion_tokens"] for turn in spent) >= self.procedure.tokens)


def build_graph(room: Room, checkpoints: BaseCheckpointSaver[Any] | None = None) -> Graph:
    """Compile the state machine of one inspection (about 5 ms); with `checkpoints` it is a thread that goes on."""
    graph = StateGraph(State)
    graph.add_node("survey", lambda state: survey(room, state))
    graph.add_node("plan", lambda state: plan(room, state))
    graph.add_node("act", lambda state: act(room, state))
    graph.add_node("remind", lambda state: remind(room, state))
    graph.add_node("repair", repair)
    graph.add_node("submit", lambda state: submit(room, state))
    graph.add_node("audit", audit)
    graph.add_node("fuse", lambda state: fuse(room, state))
    graph.add_node("ask", lambda state: ask(room, state))
    graph.add_conditional_edges(START, enter)
    graph.add_edge("survey", "plan")
    graph.add_conditional_edges("plan", lambda state: after_plan(room, state), ROUTES)
    for node in ("act", "remind", "repair"):
        graph.add_conditional_edges(node, on_or_end)
    graph.add_conditional_edges("submit", lambda state: after_submit(room, state), ["plan", "audit", "fuse"])
    graph.add_edge("audit", "plan")
    graph.add_conditional_edges("fuse", lambda state: after_fuse(room, state), ["ask", END])
    graph.add_edge("ask", "plan")
    return graph.compile(checkpointer=checkpoints)


ROUTES = ["act", "submit", "remind", "repair", "fuse"]


def enter(state: State) -> Literal["survey", "plan"]:
    """An inspection begins with the survey, a question on what was found with the planner."""
    return "plan" if state.get("question") else "survey"


def survey(room: Room, state: State) -> State:
    """Call the cheap tools as if the planner had asked for them: first on the product, then on the part."""
    filed = len(state.get("evidence", []))  # of a person's own calls before
    known, found = _survey(room, room.study, "study", filed)
    seen, more = _survey(room, room.survey, "survey", filed + len(found))
    return {"messages": [*known, room.task, *seen], "evidence": [*found, *more]}


def _survey(
    room: Room, calls: Sequence[ToolArguments], name: str, filed: int
) -> tuple[list[AnyMessage], list[dict[str, Any]]]:
    if not calls:
        return [], []
    asked = AIMessage(
        "", name=name, id=name, tool_calls=[ToolCall(name=tool, args=args, id=f"{name}_{tool}") for tool, args in calls]
    )
    replies, evidence = carry_out(asked, room.tools, room.tools, (), filed)
    return [asked, *replies], evidence


def plan(room: Room, state: State) -> State:
    """One turn of the planner; a planner that fails, or time that is over, is an outcome and not a verdict."""
    closing, audited = is_closing(room, state), is_audited(state)
    offered = [room.submit] if closing or audited else offered_tools(room, state)
    left = room.seconds_left()
    if left <= 0:
        return {"closing": True, **_ended(state, "time_limit")}
    last = [HumanMessage(render("last", submit=room.submit.name))] if closing and not audited else []
    try:
        reply, record = room.wire.ask([*state["messages"], *last], offered, left - (0 if closing else room.reserve))
    except PlannerError as error:
        if not closing and is_closing(room, state):
            return plan(room, state)  # it took all but the time that is kept for the answer
        outcome: Outcome = "time_limit" if room.seconds_left() <= 0 else "planner_failed"
        return {"closing": True, "failure": str(error), **_ended(state, outcome)}
    return {"messages": [*last, reply], "spent": [record], "closing": closing}


def _ended(state: State, outcome: Outcome) -> State:
    """The outcome, unless an answer was accepted before: that one stands."""
    return {} if state.get("submission") else {"outcome": outcome}


def is_audited(state: State) -> bool:
    """Whether the evidence against the verdict was asked for."""
    return state.get("audited_at") is not None


def is_closing(room: Room, state: State) -> bool:
    """Whether the coming turn is the last: a budget ends, too many replies were faulty, or the audit's was."""
    spent = state.get("spent", [])
    return (
        (is_audited(state) and len(spent) > (state["audited_at"] or 0))
        or len(spent) + 1 >= room.procedure.turns
        or room.out_of_tokens(spent)
        or room.seconds_left() < room.reserve
        or state.get("faulty", 0) > MOST_REPAIRS
    )


def offered_tools(room: Room, state: State) -> list[BaseTool]:
    """Tools that are not used up, and the answer once the planner has looked for itself."""
    left = left_of(room.tools, room.most_calls, state["messages"])
    looked = state.get("carried_out") or state.get("question") or not room.wire.speaks
    return [*left, room.submit] if looked or not left else [*left]


def after_plan(room: Room, state: State) -> Literal["act", "submit", "remind", "repair", "fuse"]:
    """An answer wins over tool calls in the same reply; a second reply without any call ends the run."""
    reply = state["messages"][-1]
    if not isinstance(reply, AIMessage) or state.get("failure") or state.get("outcome") == "time_limit":
        return "fuse"
    names = {call["name"] for call in reply.tool_calls}
    if room.submit.name in names:
        return "submit"
    if names:
        return "act"
    if reply.additional_kwargs.get("faults"):
        return "repair"
    return "fuse" if state.get("reminded") else "remind"


def act(room: Room, state: State) -> State:
    """Run the tools that the planner asked for."""
    *earlier, asked = state["messages"]
    assert isinstance(asked, AIMessage)
    done = state["closing"] or is_audited(state)
    offered = [] if done else left_of(room.tools, room.most_calls, earlier)
    filed = len(state.get("evidence", []))
    replies, evidence = carry_out(asked, room.tools, [*offered, room.submit], earlier, filed)
    faults = [HumanMessage(render("repair", faults=faults))] if (faults := _faults(asked)) else []
    return {
        "messages": [*replies, *faults],
        "evidence": evidence,
        "carried_out": [(len(state["spent"]), item["tool"]) for item in evidence],
        "faulty": int(all_malformed(replies)),
    }


def remind(room: Room, state: State) -> State:  # noqa: ARG001
    """Say once that a call is expected."""
    return {"messages": [HumanMessage(render("remind", submit=room.submit.name))], "reminded": True}


def repair(state: State) -> State:
    """Name what could not be read."""
    return {"messages": [HumanMessage(render("repair", faults=_faults(state["messages"][-1])))], "faulty": 1}


def submit(room: Room, state: State) -> State:
    """Check the answer; what is wrong with it goes back like any tool error."""
    evidence = [Evidence(**item) for item in state.get("evidence", [])]
    reply = state["messages"][-1]
    replies: list[AnyMessage] = []
    update: State = {}
    for call in calls_of(reply):
        text, status = "not run: the answer was submitted in the same reply", "error"
        if call["name"] == room.submit.name:
            try:
                update |= _accepted(call, reply, evidence)
                text, status = "The answer is complete.", "success"
            except SubmissionError as error:
                text = str(error)
                update["disputed"] = _disputes(call, state)
        replies.append(ToolMessage(text, tool_call_id=call["id"], name=call["name"], status=status))
    accepted = "submission" in update
    if accepted:
        # asked for, but no turn is left for it
        skipped = room.procedure.audit and state["closing"] and not is_audited(state)
        update |= {"unaudited": skipped and update["outcome"] == "submitted", "disputed": False}
    return {**update, "messages": replies, "accepted": accepted, "faulty": int(not accepted)}


def _disputes(call: ToolCall, state: State) -> bool:
    """Whether an answer that is refused states another verdict than the one accepted before."""
    before = (state.get("submission") or {}).get("verdict")
    stated = call["args"].get("verdict")
    return before is not None and stated != before and stated in get_args(Verdict)


def _accepted(call: ToolCall, reply: AnyMessage, evidence: Sequence[Evidence]) -> State:
    if (text := reply.additional_kwargs.get("refused", {}).get(call["id"])) is not None:
        raise SubmissionError(str(text))
    if call["name"] == ANSWER:
        return {"submission": check_answer(call["args"], evidence).model_dump(), "outcome": "answered"}
    return {"submission": check(call["args"], evidence).model_dump(), "outcome": "submitted"}


def after_submit(room: Room, state: State) -> Literal["plan", "audit", "fuse"]:
    """A refused answer goes back to the planner, a first diagnosis to the audit, a second one to the fusion."""
    if not state["accepted"]:
        return on_or_end(state)
    done = is_audited(state) or state["closing"] or not room.procedure.audit or state["outcome"] == "answered"
    return "fuse" if done else "audit"


def audit(state: State) -> State:
    """Ask for the strongest evidence against the verdict."""
    return {"messages": [HumanMessage(render("audit"))], "audited_at": len(state["spent"]), "unaudited": True}


def on_or_end(state: State) -> Literal["plan", "fuse"]:
    """Back to the planner, unless its last turn offered only the answer."""
    return "fuse" if state["closing"] else "plan"


def fuse(room: Room, state: State) -> State:
    """Combine detector and planner; without an undisputed diagnosis the verdict stays uncertain, whatever they say."""
    evidence = [Evidence(**item) for item in state.get("evidence", [])]
    outcome = state.get("outcome") or why_ended(room, state)
    if state.get("question"):
        return {"outcome": outcome, "answered": state.get("submission") or {}}
    submission = Submission(**state["submission"]) if outcome == "submitted" else None
    numbers = scores(evidence, submission, room.procedure.detector_weight)
    verdict, confidence = verdict_of(numbers.fused, outcome, room.procedure.review)
    if state.get("disputed"):
        verdict, confidence = "uncertain", 0.0
    result: dict[str, Any] = {"verdict": verdict, "confidence": confidence, "scores": numbers.model_dump()}
    if submission:
        answer, criteria = judge(settle(submission, verdict), verdict, evidence)
        result |= {"answer": answer.model_dump(), "criteria": [criterion.model_dump() for criterion in criteria]}
    elif outcome == "answered":
        result["answer"] = {"answer": ObjectAnswer(**state["submission"]).answer}
    return {"outcome": outcome, "result": result}


def after_fuse(room: Room, state: State) -> Literal["ask", "__end__"]:
    """To the operator, once, when the planner's answer was heard and the verdict is still open."""
    is_open = state["result"]["verdict"] == "uncertain" and state["outcome"] == "submitted"
    return "ask" if room.asks and is_open and not state.get("asked") and not state.get("question") else "__end__"


def ask(room: Room, state: State) -> State:
    """Ask the operator and file the answer as evidence; nothing is filed where there is none."""
    evidence = [Evidence(**item) for item in state["evidence"]]
    question = question_on(evidence, room.procedure.language)
    said = str(interrupt(question) or "")
    messages, filed = as_evidence(question, said, len(evidence))
    return {"messages": messages, "evidence": filed, "asked": True, **FRESH_TURN}


def why_ended(room: Room, state: State) -> Outcome:
    """Which limit ended a run without an answer."""
    reply = state["messages"][-1]
    if isinstance(reply, AIMessage) and not reply.tool_calls and state.get("reminded"):
        return "no_call"
    if state.get("faulty", 0) > MOST_REPAIRS:
        return "malformed"
    spent = state.get("spent", [])
    if len(spent) >= room.procedure.turns:
        return "turn_limit"
    return "token_limit" if room.out_of_tokens(spent) else "time_limit"


def _faults(message: AnyMessage) -> list[str]:
    return list(message.additional_kwargs.get("faults", []))
