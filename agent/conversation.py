"""A conversation over one part: its inspection, then questions, on one LangGraph thread that survives the process.

The thread lies as SQLite in the run's folder beside the trace; pictures are files there and not inside. A crop is made
again from the call that made it, so that its id still means the same picture after a restart.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from agent.diagnosis import Diagnosis, Exchange, Inspection, Usage
from agent.inspector import Hear, Inspector, Watch, graph_settings, ignored, steps
from agent.outcome import usage_of
from agent.record import asked_of, pictures_of
from agent.trace import Run, RunError, Trace, read_run
from prompts import render
from tools.evidence import Evidence
from tools.quoting import harmless

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.types import Command, StateSnapshot

    from agent.graph import Graph, Room, State
    from agent.inspector import Case

NOT_YET = "not inspected yet"
THREAD = "thread.sqlite"
MAKE_PICTURES = ("zoom", "enhance")  # tools whose results are images with an id of their own
Ask = Callable[[str], str]
T = TypeVar("T")


class Conversation:
    """Turns over one part. `case` is what is inspected, `folder` that of its run, whose pictures `album` knows."""

    def __init__(self, inspector: Inspector, case: Case, folder: Path) -> None:
        self.inspector = inspector
        self.case = case
        self.folder = folder
        self.id = folder.name
        self.album = case.album(folder / "pictures")

    @classmethod
    def begin(cls, inspector: Inspector, inspection: Inspection, watch: Watch = ignored) -> Conversation:
        """Opens a run for a part; errors as of Inspector.inspect."""
        from agent.briefing import first_messages

        case = inspector.case(inspection)
        trace = Trace.new(inspector.home / "runs", asked_of(case.inspection), inspector.setup(case))
        new = cls(inspector, case, trace.folder)
        messages = first_messages(case.inspection, case.topic, new.album, case.procedure)
        images = {"images": pictures_of(new.album), "topic": case.topic}
        intake = trace.step("intake", {**images, "messages": messages})
        with new._thread() as (graph, settings):
            graph.update_state(settings, {"messages": messages}, as_node="__start__")
        trace.stop(NOT_YET)
        watch(intake)
        return new

    @classmethod
    def resume(cls, inspector: Inspector, run_id: str) -> Conversation:
        """Goes on with a run of `begin`, also one whose process was killed; RunError where there is no thread."""
        run = read_run(inspector.home / "runs", run_id)
        if not (run.folder / THREAD).is_file():
            raise RunError(run.folder, "was no conversation", "`flawlens chat` begins one")
        found = cls(inspector, inspector.case(_inspection_of(run)), run.folder)
        found._make_pictures_again()
        return found

    @property
    def run(self) -> Run:
        """The run as it lies on disk."""
        return read_run(self.inspector.home / "runs", self.id)

    @property
    def state(self) -> State:
        """What the thread holds now."""
        return self._snapshot(lambda snapshot: cast("State", snapshot.values))

    @property
    def pending(self) -> bool:
        """Whether a turn was begun and has not ended."""
        return self._snapshot(lambda snapshot: bool(snapshot.next))

    def inspect(self, watch: Watch = ignored, hear: Hear | None = None, ask: Ask | None = None) -> Run:
        """Inspects the part, or goes on with a turn that was begun; `ask` puts the agent's question to an operator."""
        self._turn(None, watch, hear, ask)
        return self.run

    def follow(self, question: str, watch: Watch = ignored, hear: Hear | None = None) -> Run:
        """Answers a question on what was found, from all evidence and new looks; RunError before the diagnosis."""
        from langchain_core.messages import HumanMessage
        from langgraph.types import Overwrite

        from agent.graph import FRESH_TURN

        if self.run.diagnosis is None:
            raise RunError(self.folder, "has no diagnosis to ask about", "let the inspection end first")
        if self.pending:
            self.undo()
        words = harmless(question.strip())
        asked = HumanMessage(render("followup", question=words), additional_kwargs={"question": words})
        afresh: Any = {name: Overwrite(empty) for name, empty in (("spent", []), ("carried_out", []), ("faulty", 0))}
        self._turn({**FRESH_TURN, **afresh, "messages": [asked], "question": words, "answered": {}}, watch, hear)
        return self.run

    def call(self, tool: str, arguments: dict[str, Any]) -> Evidence:
        """Calls a tool for the operator; what it finds is evidence like any other. ToolError when it cannot."""
        from agent.calls import call_tool

        room, state = self._room(), self.state
        asked, reply = call_tool(tool, arguments, room.tools, len(state.get("evidence", [])))
        item = reply.artifact
        change = {"messages": [asked, reply], "evidence": [item]}
        with self._traced() as trace, self._thread(room) as (graph, settings):
            trace.step("operator", change)
            inspected = "result" in state
            graph.update_state(settings, change, as_node="fuse" if inspected else "__start__")
            if inspected:
                self._finish(trace, {"evidence": [*state.get("evidence", []), item]})
            else:
                trace.stop(NOT_YET)
        return Evidence(**item)

    def undo(self) -> bool:
        """Takes the last turn back, with its evidence; whether there was one. The inspection itself stays."""
        with self._thread() as (graph, settings):
            snapshot = graph.get_state(settings)
            while snapshot.metadata and snapshot.metadata["source"] not in ("input", "update"):
                if snapshot.parent_config is None:
                    return False
                snapshot = graph.get_state(snapshot.parent_config)
            before = snapshot.parent_config
            if before is None or not graph.get_state(before).values.get("result"):
                return False
            graph.update_state(before, None, as_node="__copy__")
            state = graph.get_state(settings).values
        self._forget(state)
        return True

    def _turn(self, given: State | None, watch: Watch, hear: Hear | None, ask: Ask | None = None) -> None:
        from langgraph.types import Command

        seconds = 0.0
        with self._traced() as trace:
            question = bool((given or self.state).get("question"))
            onward: State | Command[Any] | None = given
            while True:
                started = time.perf_counter()  # a new clock: the operator's time is not the agent's
                room = replace(self._room(hear, question=question), asks=ask is not None)
                with self._thread(room) as (graph, settings):
                    state, asked = steps(graph, onward, settings, trace, watch)
                seconds += time.perf_counter() - started
                if not asked:
                    break
                onward = Command(resume=ask(asked) if ask else "")
            self._finish(trace, self._told(state, seconds))

    def _told(self, state: State, seconds: float) -> dict[str, Any]:
        """What a turn has changed in the diagnosis."""
        known = self.run.diagnosis
        if known is None or not state.get("question"):
            return self.inspector.diagnosis(self.case, self.id, self.album, state, round(seconds, 3)).model_dump(
                mode="json"
            )
        exchange = Exchange(
            by="operator",
            question=state["question"],
            answer=str(state["answered"].get("answer", "")),
            evidence=state["answered"].get("evidence", []),
            outcome=state["outcome"] or "planner_failed",
        )
        return {
            "evidence": state.get("evidence", []),
            "exchanges": [*known["exchanges"], exchange.model_dump()],
            "seconds": round(known["seconds"] + seconds, 3),
            "usage": _sum(Usage(**known["usage"]), usage_of(state)).model_dump(),
        }

    def _finish(self, trace: Trace, change: Mapping[str, Any]) -> None:
        known = self.run.diagnosis or {}
        trace.finish(Diagnosis(**{**known, **change}).model_dump(mode="json"))

    def _forget(self, state: Mapping[str, Any]) -> None:
        """Leaves out of the diagnosis what is no longer in the thread."""
        known = self.run.diagnosis
        assert known is not None
        kept = {item["id"] for item in state.get("evidence", [])}
        left = [one for one in known["exchanges"] if one["by"] == "agent"]
        asked = sum(bool(message.additional_kwargs.get("question")) for message in state["messages"])
        left += [one for one in known["exchanges"] if one["by"] == "operator"][:asked]
        with self._traced() as trace:
            trace.step("undo", {"kept": sorted(kept)})
            self._finish(trace, {"evidence": state.get("evidence", []), "exchanges": left})
        self.album = self.case.album(self.folder / "pictures")
        self._make_pictures_again()

    def _room(self, hear: Hear | None = None, *, question: bool = False) -> Room:
        room = self.inspector.room(self.case, self.album, hear, answers=question)
        if not question:
            return room
        made = Counter(call["name"] for message in self.state["messages"] for call in _calls(message))
        most = {name: limit + made[name] for name, limit in room.most_calls.items()}
        return replace(room, most_calls=most, procedure=replace(room.procedure, audit=False))

    @contextmanager
    def _traced(self) -> Iterator[Trace]:
        trace = Trace.again(self.inspector.home / "runs", self.id)
        try:
            yield trace
        except KeyboardInterrupt:
            trace.stop("stopped by the operator")
            raise
        except BaseException as error:
            trace.fail(error)
            raise

    @contextmanager
    def _thread(self, room: Room | None = None) -> Iterator[tuple[Graph, RunnableConfig]]:
        """The graph on this run's thread, with settings that name it; nodes run only with a room to work in."""
        from agent.graph import build_graph

        connection = sqlite3.connect(self.folder / THREAD, check_same_thread=False)
        try:
            settings = graph_settings(self.case.procedure, configurable={"thread_id": self.id})
            yield build_graph(cast("Room", room), _checkpoints(connection)), settings
        finally:
            connection.close()

    def _snapshot(self, read: Callable[[StateSnapshot], T]) -> T:
        with self._thread() as (graph, settings):
            return read(graph.get_state(settings))

    def _make_pictures_again(self) -> None:
        from langchain_core.messages import ToolMessage

        messages = self.state.get("messages", [])
        tools = {tool.name: tool for tool in self._room().tools}
        found = [one for one in messages if isinstance(one, ToolMessage) and isinstance(one.artifact, dict)]
        filed = {message.tool_call_id for message in found}
        for call in (call for message in messages for call in _calls(message)):
            if call["name"] in MAKE_PICTURES and call["id"] in filed:
                tools[call["name"]].invoke(call["args"])


def _checkpoints(connection: sqlite3.Connection) -> SqliteSaver:
    """Checkpoints that hold messages and plain values, and read nothing else back."""
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
    from langgraph.checkpoint.sqlite import SqliteSaver

    return SqliteSaver(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))


def _calls(message: AnyMessage) -> Sequence[Any]:
    from agent.calls import calls_of

    return calls_of(message)


def _sum(one: Usage, other: Usage) -> Usage:
    both = {name: value + getattr(other, name) for name, value in one.model_dump().items()}
    turns = max(both["turns"], 1)
    rate = (one.tool_call_rate * one.turns + other.tool_call_rate * other.turns) / turns
    return Usage(**{**both, "tool_call_rate": round(rate, 3)})


def _inspection_of(run: Run) -> Inspection:
    """What a run had inspected: the original pictures where they are, else the run's own copies."""
    kept = run.images
    if "part" not in kept:
        raise RunError(run.folder, "ended before its pictures were loaded", "begin again with `flawlens chat IMAGE`")
    names = ["part", *(f"reference_{number}" for number in range(1, len(run.inspection["references"]) + 1))]
    originals = [run.inspection["image"], *run.inspection["references"]]
    image, *references = (
        _original(Path(path), kept.get(name), run.folder) for name, path in zip(names, originals, strict=True)
    )
    asked = run.inspection
    return Inspection(image, tuple(references), asked["product"], asked["question"])


def _original(path: Path, kept: Mapping[str, Any] | None, folder: Path) -> Path:
    from hashlib import sha256

    same = path.is_file() and (kept is None or sha256(path.read_bytes()).hexdigest() == kept["sha256"])
    return path if same or kept is None else folder / "pictures" / kept["file"]
