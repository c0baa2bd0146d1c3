"""Inspector.inspect: the one road of a request, from files to a diagnosis with its trace."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from agent.diagnosis import ChoiceAnswer, Diagnosis, Inspection, Procedure, Repair, Scores, Topic
from agent.operator import exchanges
from agent.outcome import shortcomings, usage_of
from agent.question import topic_of
from agent.record import asked_of, path_text, pictures_of, versions
from agent.trace import Event, Run, RunError, Trace, read_run
from prompts import prompts_hash
from tools.evidence import Evidence
from tools.image import LoadedImage, load_images

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import RunnableConfig
    from langgraph.types import Command, Durability

    from agent.briefing import ToolArguments
    from agent.graph import Graph, Room, State
    from tools.album import Album
    from tools.detectors import Detector, Method
    from tools.detectors.given import GivenMap
    from tools.profiles import Profile

# One tool at a time: sibling calls would share one detector, and crops are numbered in the order of the calls.
GRAPH_SETTINGS: RunnableConfig = {"max_concurrency": 1, "run_name": "inspection"}
STEPS = 3  # of the graph in one turn, at most

Watch = Callable[[Event], None]
Hear = Callable[[str], None]


def ignored(event: Event) -> None:
    """Nobody watches."""


def expected_errors() -> tuple[type[Exception], ...]:
    """The errors that are for a person: each is one line with the cause and what to do."""
    from agent.planners import PlannerError
    from knowledge_base.entry import KnowledgeError
    from tools.detectors.features import BackboneError
    from tools.image import ImageError
    from tools.profiles import ProfileError

    return (BackboneError, ImageError, KnowledgeError, PlannerError, ProfileError, RunError)


@dataclass(frozen=True, eq=False)
class Case:
    """One inspection: what is asked, how it is carried out, the pictures, and what is known of the product.

    A `given` map stands in place of the method's.
    """

    inspection: Inspection
    topic: Topic
    procedure: Procedure
    profile: Profile | None
    method: Method
    part: LoadedImage
    references: list[LoadedImage]
    given: GivenMap | None = None

    @property
    def detector(self) -> str:
        return self.given.name if self.given else self.method.name

    def album(self, folder: Path) -> Album:
        """The pictures by id; a question about the object needs no references."""
        from tools.album import Album

        return Album(folder, self.part, self.references if self.topic == "defects" else [])


class Inspector:
    """Inspects parts in one home folder; detector, knowledge and planner are made once and kept.

    `home` holds runs/, cases/ (operators' words on them), knowledge/, products/ (enrolled) and banks/ (fitted to an
    inspection's references); `planner` is a langchain chat model and `planner_name` what a result calls it; `procedure`
    sets budgets, audit and language.
    `detector` and `backbone` are names as in tools.detectors.methods, None takes those of the product's profile, else
    few-shot and onnx; `device` is auto, cpu or cuda[:N].
    """

    def __init__(
        self,
        home: Path,
        planner: BaseChatModel,
        planner_name: str,
        *,
        procedure: Procedure | None = None,
        detector: str | None = None,
        backbone: str | None = None,
        device: str = "auto",
    ) -> None:
        from agent.banks import Banks
        from knowledge_base.store import KnowledgeBase
        from tools.cases.store import Cases
        from tools.profiles.store import Profiles

        self.home = home
        self.planner = planner
        self.planner_name = planner_name
        self.procedure = procedure or Procedure()
        self.detector_name, self.backbone_name, self.device = detector, backbone, device
        self.knowledge = KnowledgeBase(home / "knowledge")
        self.profiles = Profiles(home / "products")
        self.banks = Banks(home / "banks")
        self.cases = Cases(home / "cases")
        self._detectors: dict[tuple[str, ...], Detector] = {}

    def inspect(
        self, inspection: Inspection, watch: Watch = ignored, hear: Hear | None = None, given: GivenMap | None = None
    ) -> Run:
        """Inspect one part; ImageError for a bad file, RunError for an unwritable home, BackboneError for no weights.

        ProfileError for a product that was enrolled with another detector. `watch` is told each step, `hear` each piece
        of the planner's text as it comes; a `given` map stands in place of the detector's. Any other error is written
        into the trace and raised; a planner that fails is an outcome.
        """
        case = replace(self.case(inspection), given=given)
        trace = Trace.new(self.home / "runs", asked_of(case.inspection), self.setup(case))
        try:
            self._run(case, trace, watch, hear)
        except BaseException as error:
            trace.fail(error)
            raise
        return read_run(self.home / "runs", trace.id)

    def case(self, inspection: Inspection) -> Case:
        """Load the pictures; a profile lends its own good parts where none are given."""
        profile = self.profiles.find(inspection.product)
        method = self._method(profile)
        if profile and not inspection.references:
            place = self.profiles.place(profile.name)
            kept = tuple(place / picture.kept for picture in profile.normals if picture.kept)
            inspection = replace(inspection, references=kept)
        part, *references = load_images([inspection.image, *inspection.references])
        return Case(inspection, self._topic(inspection), self._procedure(profile), profile, method, part, references)

    def _procedure(self, profile: Profile | None) -> Procedure:
        """The procedure; known defects below and good parts above the usual review band widen it."""
        if not profile or profile.review is None or profile.detector_weight is None:
            return self.procedure
        (low, high), (low_defect, high_normal) = self.procedure.review, profile.review
        review = min(low, low_defect), max(high, high_normal)
        return replace(self.procedure, review=review, detector_weight=profile.detector_weight)

    def _run(self, case: Case, trace: Trace, watch: Watch, hear: Hear | None) -> None:
        from agent.briefing import first_messages

        started = time.perf_counter()
        album = case.album(trace.pictures)
        state: State = {"messages": first_messages(case.inspection, case.topic, album, case.procedure)}
        watch(trace.step("intake", {"images": pictures_of(album), "topic": case.topic, **state}))
        room = self.room(case, album, hear)
        state = _untouched(state) if case.procedure.direct else _investigated(room, state, trace, watch)
        answers = self._choices(case, room, state)
        if answers:
            watch(trace.step("choices", {"choices": [answer.model_dump() for answer in answers]}))
        seconds = round(time.perf_counter() - started, 3)
        diagnosis = self.diagnosis(case, trace.id, album, state, seconds)
        trace.finish(diagnosis.model_copy(update={"choices": answers}).model_dump(mode="json"))

    def _choices(self, case: Case, room: Room, state: State) -> list[ChoiceAnswer]:
        from agent.choice import ask_choices

        procedure = case.procedure
        found = [] if procedure.direct else state["messages"]
        return list(
            ask_choices(
                room.wire,
                case.inspection.choices,
                found,
                direct=procedure.direct,
                history=procedure.history,
                seconds=room.seconds_left(),
                sheet=case.inspection.sheet,
            )
        )

    def _topic(self, inspection: Inspection) -> Topic:
        """What the question is about; a planner without a language model inspects, whatever it is asked."""
        from agent.wire.dialect import spoken_by

        return topic_of(inspection) if spoken_by(self.planner) else "defects"

    def room(self, case: Case, album: Album, hear: Hear | None = None, *, answers: bool = False) -> Room:
        """Everything that the graph works with; a question about the object gets no anomaly tools and no references.

        `answers`: the turn ends with an answer to a question on what was found, and not with a diagnosis.
        """
        from agent.briefing import study_calls, survey_calls, task_message
        from agent.graph import Room
        from agent.submission import answer_tool, choose_tool, submit_tool
        from agent.wire import Wire
        from tools import MOST_CALLS, OF_THE_OBJECT, toolbox

        inspection, topic, procedure = case.inspection, case.topic, case.procedure
        recall = procedure.memory and bool(self.cases.of(inspection.product))
        tools = toolbox(
            album,
            lambda: self._detector(case),
            self.knowledge,
            inspection.product,
            procedure.language,
            notation=procedure.notation,
            mm_per_pixel=case.profile.mm_per_pixel if case.profile else None,
            alone=lambda: case.method.fit([], product=inspection.product),
            remembered=(lambda: self.cases.recall(inspection.product)) if recall else None,
        )
        tools = [tool for tool in tools if tool.name not in procedure.without]
        submit = submit_tool
        if topic == "object":
            tools = [tool for tool in tools if tool.name in OF_THE_OBJECT]
        if topic == "object" or answers:
            submit = answer_tool
        told = [choose_tool] if procedure.direct else [*tools, submit, *([choose_tool] if inspection.choices else [])]
        return Room(
            wire=Wire(self.planner, album, told, procedure.reasoning, hear),
            tools=tools,
            submit=submit,
            task=task_message(inspection, topic, procedure),
            study=_left(study_calls(inspection, topic, self.knowledge), procedure),
            survey=_left(survey_calls(inspection, recall=recall), procedure) if topic == "defects" else (),
            most_calls={
                **MOST_CALLS,
                "compare_with_reference": len(album.references),
                "find_similar_normals": int(len(album.references) > 1),
            },
            procedure=procedure,
        )

    def _method(self, profile: Profile | None) -> Method:
        """The method asked for, else the profile's; ProfileError when a profile was made with another one."""
        from tools.detectors.methods import make_method
        from tools.profiles import ProfileError

        detector = self.detector_name or (profile.detector if profile else "few-shot")
        backbone = self.backbone_name or (profile.backbone if profile else "onnx")
        method = make_method(detector, backbone=backbone, device=self.device)
        if profile and method.name != profile.made_with:
            cause = f"enrolled with {profile.made_with}, this is {method.name}"
            chosen = f"--detector {detector} --backbone {backbone}"
            raise ProfileError(
                profile.name, cause, f"flawlens enroll {shlex.quote(profile.name)} --normals DIR {chosen}"
            )
        return method

    def _detector(self, case: Case) -> Detector:
        """The given map, the product's detector, or one of the given references; these are made once and kept."""
        if case.given:
            return case.given
        if case.profile:
            key: tuple[str, ...] = (case.profile.name, case.profile.arrays)
        else:
            key = (case.method.name, *(f"{reference.sha256} {reference.bits}" for reference in case.references))
        if key not in self._detectors:
            self._detectors[key] = self._made(case, [version("flawlens"), *key])
        return self._detectors[key]

    def _made(self, case: Case, made_of: list[str]) -> Detector:
        method = case.method
        if case.profile:
            return self.profiles.detector(case.profile, method)
        if (kept := self.banks.read(made_of)) is not None:
            return method.restored(kept)
        detector = method.fit([image.pixels for image in case.references], product=case.inspection.product)
        if case.references:
            self.banks.write(made_of, detector.fitted())
        return detector

    def diagnosis(self, case: Case, run_id: str, album: Album, state: State, seconds: float) -> Diagnosis:
        """What the last state of an inspection says."""
        inspection = case.inspection
        evidence = [Evidence(**item) for item in state.get("evidence", [])]
        result, outcome = state["result"], state["outcome"]
        assert outcome is not None
        nothing = {"defects": [], "repair": Repair(disposition="hold"), "summary": "", "against": "", "answer": ""}
        answer = {**nothing, **result.get("answer", {})}
        return Diagnosis(
            run_id=run_id,
            verdict=result["verdict"],
            confidence=round(result["confidence"], 4),
            scores=result["scores"],
            **{key: answer[key] for key in nothing},
            criteria=result.get("criteria", []),
            exchanges=exchanges(evidence),
            evidence=evidence,
            outcome=outcome,
            degraded=[
                *shortcomings(inspection, case.topic, evidence, state),
                *getattr(self.planner, "adaptations", ()),
            ],
            notes=[
                f"{name}: {note}"
                for name, view in album.views.items()
                if "crop" not in name
                for note in view.original.notes
            ],
            planner=self.planner_name,
            image=path_text(inspection.image),
            product=inspection.product,
            seconds=seconds,
            usage=usage_of(state),
        )

    def setup(self, case: Case) -> dict[str, Any]:
        """With what a case is inspected, for its trace."""
        return {
            "planner": self.planner_name,
            "settings": getattr(self.planner, "settings", {}),
            "procedure": asdict(case.procedure),
            "detector": case.detector,
            "profile": case.profile.created if case.profile else None,
            "prompts": prompts_hash(),
            "versions": versions(),
        }


def _investigated(room: Room, state: State, trace: Trace, watch: Watch) -> State:
    from agent.graph import build_graph

    return steps(build_graph(room), state, graph_settings(room.procedure), trace, watch)[0]


def graph_settings(procedure: Procedure, **more: Any) -> RunnableConfig:
    """How the graph is run in this procedure."""
    settings: RunnableConfig = {**GRAPH_SETTINGS, "recursion_limit": STEPS * (procedure.turns + 5)}
    return cast("RunnableConfig", {**settings, **more})


def steps(
    graph: Graph, given: State | Command[Any] | None, settings: RunnableConfig, trace: Trace, watch: Watch
) -> tuple[State, str]:
    """The state after the graph has run, each step on disk, and the question to the operator that it waits for."""
    state: State = {}
    question = ""
    # where there are checkpoints, each is on disk before the next step begins: what is killed then can go on
    durability: Durability | None = "sync" if graph.checkpointer else None
    coming = graph.stream(given, settings, stream_mode=["updates", "values"], durability=durability)
    for kind, chunk in cast("Iterator[Any]", coming):
        if kind == "values":
            state = chunk
            continue
        for node, change in chunk.items():
            if node == "__interrupt__":
                question = str(change[0].value)
            else:
                watch(trace.step(node, change or {}))
    return state, question


def _untouched(state: State) -> State:
    """The state of a part that was not inspected."""
    result = {"verdict": "uncertain", "confidence": 0.0, "scores": Scores().model_dump()}
    return {**state, "outcome": "answered", "result": result}


def _left(calls: Sequence[ToolArguments], procedure: Procedure) -> list[ToolArguments]:
    return [call for call in calls if call[0] not in procedure.without]
