"""The inspection as a state machine: survey, plan <-> act, submit, audit, fuse.

survey  the graph itself runs the cheap tools, so that evidence never depends on a planner asking for it
plan    the planner sees the messages and the tools; on its last turn only `submit_diagnosis` is offered
act     the tools it asked for run; every result is filed as evidence E1, E2, ...
submit  the answer is checked against its schema and against the ids it cites; a wrong one goes back
audit   one refutation: what speaks against the verdict?
fuse    detector and planner are combined outside the planner
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode
from langgraph.prebuilt.tool_node import ToolCallRequest, ToolInvocationError
from langgraph.types import Command

from agent.diagnosis import Outcome, Submission
from agent.fusion import scores, settle, verdict_of
from agent.submission import SUBMIT, SubmissionError, check, submit_tool
from prompts import render
from tools.evidence import Evidence, ToolError

Graph = CompiledStateGraph["State", None, "State", "State"]
MOST_TURNS = 10


class State(TypedDict, total=False):
    """Plain types only: pictures are files, evidence and submission are `model_dump()`s."""

    messages: Annotated[list[AnyMessage], add_messages]
    evidence: Annotated[list[dict[str, Any]], operator.add]
    turns: int
    reminded: bool
    accepted: bool
    audited: bool
    submission: dict[str, Any]
    outcome: Outcome
    result: dict[str, Any]


@dataclass(frozen=True)
class Room:
    """What one inspection has to work with."""

    planner: BaseChatModel
    tools: Sequence[BaseTool]
    survey: Sequence[tuple[str, dict[str, Any]]]
    most_turns: int = MOST_TURNS


def build_graph(room: Room) -> Graph:
    """Compile the state machine of one inspection (about 5 ms)."""
    graph = StateGraph(State)
    graph.add_node("survey", lambda state: survey(room, state))
    graph.add_node("plan", lambda state: plan(room, state))
    graph.add_node("act", lambda state: act(room, state))
    graph.add_node("remind", remind)
    graph.add_node("submit", submit)
    graph.add_node("audit", audit)
    graph.add_node("fuse", fuse)
    graph.add_edge(START, "survey")
    graph.add_edge("survey", "plan")
    graph.add_conditional_edges("plan", after_plan)
    graph.add_conditional_edges("act", lambda state: with_turns_left(room, state))
    graph.add_conditional_edges("remind", lambda state: with_turns_left(room, state))
    graph.add_conditional_edges("submit", lambda state: after_submit(room, state))
    graph.add_edge("audit", "plan")
    graph.add_edge("fuse", END)
    return graph.compile()


def survey(room: Room, state: State) -> State:
    """Call the cheap tools as if the planner had asked for them."""
    calls = [ToolCall(name=name, args=args, id=f"survey_{name}") for name, args in room.survey]
    asked = AIMessage("", tool_calls=calls, name="survey", id="survey")
    return run_tools(room, state, asked) if calls else {}


def plan(room: Room, state: State) -> State:
    """One turn of the planner."""
    turns = state.get("turns", 0) + 1
    offered = [] if turns >= room.most_turns or state.get("audited") else list(room.tools)
    reply = room.planner.bind_tools([*offered, submit_tool]).invoke(state["messages"])
    update: State = {"messages": [reply], "turns": turns}
    if not reply.tool_calls and state.get("reminded") and "submission" not in state:
        update["outcome"] = "no_call"
    return update


def after_plan(state: State) -> Literal["act", "submit", "remind", "fuse"]:
    """An answer wins over tool calls in the same reply; a second reply without any call ends the run."""
    names = {call["name"] for call in _calls(state["messages"][-1])}
    if SUBMIT in names:
        return "submit"
    if names:
        return "act"
    return "fuse" if state.get("reminded") else "remind"


def act(room: Room, state: State) -> State:
    """Run the tools that the planner asked for."""
    asked = state["messages"][-1]
    assert isinstance(asked, AIMessage)
    update = run_tools(room, state, asked)
    update["messages"] = update["messages"][1:]
    return update


def remind(state: State) -> State:  # noqa: ARG001
    """Say once that a call is expected."""
    return {"messages": [HumanMessage(render("remind"))], "reminded": True}


def submit(state: State) -> State:
    """Check the answer; what is wrong with it goes back like any tool error."""
    evidence = [Evidence(**item) for item in state.get("evidence", [])]
    replies: list[AnyMessage] = []
    update: State = {}
    for call in _calls(state["messages"][-1]):
        text, status = "not run: the answer was submitted in the same reply", "error"
        if call["name"] == SUBMIT:
            try:
                update["submission"] = check(call["args"], evidence).model_dump()
                text, status = "The answer is complete.", "success"
                update["outcome"] = "submitted"
            except SubmissionError as error:
                text = str(error)
        replies.append(ToolMessage(text, tool_call_id=call["id"], name=call["name"], status=status))
    return {**update, "messages": replies, "accepted": "submission" in update}


def after_submit(room: Room, state: State) -> Literal["plan", "audit", "fuse"]:
    """A refused answer goes back to the planner, a first answer to the audit, a second one to the fusion."""
    if state["accepted"]:
        return "fuse" if state.get("audited") or state["turns"] >= room.most_turns else "audit"
    return with_turns_left(room, state)


def audit(state: State) -> State:  # noqa: ARG001
    """Ask for the strongest evidence against the verdict."""
    return {"messages": [HumanMessage(render("audit"))], "audited": True}


def fuse(state: State) -> State:
    """Combine detector and planner; without an answer the verdict stays uncertain, whatever the detector says."""
    evidence = [Evidence(**item) for item in state.get("evidence", [])]
    submission = Submission(**state["submission"]) if "submission" in state else None
    outcome = state.get("outcome", "turn_limit")
    numbers = scores(evidence, submission)
    verdict, confidence = verdict_of(numbers.fused, outcome)
    result: dict[str, Any] = {"verdict": verdict, "confidence": confidence, "scores": numbers.model_dump()}
    if submission:
        result["answer"] = settle(submission, verdict).model_dump()
    return {"outcome": outcome, "result": result}


def with_turns_left(room: Room, state: State) -> Literal["plan", "fuse"]:
    """Back to the planner while its budget lasts."""
    return "plan" if state["turns"] < room.most_turns else "fuse"


def run_tools(room: Room, state: State, asked: AIMessage) -> State:
    """Run the calls of one message and file what they found; a ToolError becomes the tool's answer."""
    node = ToolNode(list(room.tools), handle_tool_errors=_tool_error, wrap_tool_call=_timed)
    replies: list[ToolMessage] = node.invoke({"messages": [asked]})["messages"]
    filed: list[dict[str, Any]] = []
    for reply in replies:
        if isinstance(reply.artifact, Evidence):
            number = len(state.get("evidence", [])) + len(filed) + 1
            reply.artifact = reply.artifact.model_copy(update={"id": f"E{number}"}).model_dump()
            reply.content = f"[E{number}] {reply.content}"
            filed.append(reply.artifact)
    return {"messages": [asked, *replies], "evidence": filed}


def _timed(request: ToolCallRequest, run: Callable[[ToolCallRequest], ToolMessage | Command[Any]]) -> Any:
    """Run one call and write its seconds into its evidence."""
    started = time.perf_counter()
    reply = run(request)
    if isinstance(reply, ToolMessage) and isinstance(reply.artifact, Evidence):
        seconds = round(time.perf_counter() - started, 4)
        reply.artifact = reply.artifact.model_copy(update={"seconds": seconds})
    return reply


def _tool_error(error: ToolError) -> str:
    # With a wrapper around the calls, ToolNode hands every exception to this function, whatever its annotation says.
    if not isinstance(error, (ToolError, ToolInvocationError)):
        raise error
    return str(error)


def _calls(message: AnyMessage) -> list[ToolCall]:
    return message.tool_calls if isinstance(message, AIMessage) else []
