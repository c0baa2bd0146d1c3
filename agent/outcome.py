"""From the last state of a run to what its diagnosis says about trust and cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.diagnosis import Inspection, Topic, Usage
from tools.evidence import Evidence

if TYPE_CHECKING:
    from agent.graph import State


def shortcomings(inspection: Inspection, topic: Topic, evidence: Sequence[Evidence], state: State) -> list[str]:
    """Why this result deserves less trust than a full one."""
    found = []
    outcome = state.get("outcome")
    if topic == "object":
        found.append("the question is about the object: the part was not inspected for defects")
    if outcome not in ("submitted", "answered"):
        found.append(f"the planner gave no valid answer ({outcome})")
    if state.get("failure"):
        found.append(f"the planner failed: {state['failure']}")
    if state.get("disputed"):
        found.append("the audit came to another verdict, but not in a valid form: the verdict stays open")
    elif state.get("unaudited"):
        found.append("the evidence against the verdict was not weighed: the audit got no valid answer or no turn")
    if topic == "defects" and inspection.question and not state["result"].get("answer", {}).get("answer"):
        found.append("the question was not answered")
    if topic == "defects" and not inspection.references:
        found.append("no reference of a good part: the anomaly map is weak evidence")
    for item in evidence:
        if "refused" in item.numbers:
            found.append(f"{item.tool} could not be used: {item.numbers['refused']}")
    return found


def usage_of(state: State) -> Usage:
    """What the run cost, summed over the planner's turns."""
    turns, calls = state.get("spent", []), state.get("carried_out", [])
    return Usage(
        turns=len(turns),
        prompt_tokens=sum(turn["prompt_tokens"] for turn in turns),
        image_tokens=sum(turn["image_tokens"] for turn in turns),
        completion_tokens=sum(turn["completion_tokens"] for turn in turns),
        planner_seconds=round(sum(turn["seconds"] for turn in turns), 3),
        tool_seconds=round(sum(item["seconds"] for item in state.get("evidence", [])), 3),
        tool_calls=len(calls),
        tool_call_rate=round(len({turn for turn, _ in calls}) / len(turns), 3) if turns else 0.0,
    )
