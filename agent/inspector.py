"""Inspector.inspect: the one road of a request, from files to a diagnosis with its trace."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.diagnosis import Diagnosis, Inspection, Procedure, Repair, Topic
from agent.outcome import shortcomings, usage_of
from agent.question import topic_of
from agent.trace import Event, Run, RunError, Trace, read_run
from prompts import prompts_hash
from tools.drawing import at_most
from tools.evidence import Evidence
from tools.image import LoadedImage, load_images

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import RunnableConfig

    from agent.graph import Room, State
    from tools.album import Album
    from tools.detectors import Detector
    from tools.detectors.features import Backbone

# One tool at a time: sibling calls would share one detector, and crops are numbered in the order of the calls.
GRAPH_SETTINGS: RunnableConfig = {"max_concurrency": 1, "run_name": "inspection"}
STEPS = 3  # of the graph in one turn, at most

Watch = Callable[[Event], None]
Hear = Callable[[str], None]


def _ignore(event: Event) -> None:
    """Nobody watches."""


def expected_errors() -> tuple[type[Exception], ...]:
    """The errors that are for a person: each is one line with the cause and what to do."""
    from agent.planners import PlannerError
    from knowledge_base.entry import KnowledgeError
    from tools.detectors.features import BackboneError
    from tools.image import ImageError

    return (BackboneError, ImageError, KnowledgeError, PlannerError, RunError)


class Inspector:
    """Inspects parts in one home folder; detector, knowledge and planner are made once and kept.

    `home` holds runs/, knowledge/ and banks/ (fitted to more than four references); `planner` is a langchain chat model
    and `planner_name` what a result calls it; `procedure` sets budgets, audit and language; `backbone` is "onnx" or
    "timm:NAME", the latter on `device` auto, cpu or cuda[:N].
    """

    def __init__(
        self,
        home: Path,
        planner: BaseChatModel,
        planner_name: str,
        *,
        procedure: Procedure | None = None,
        backbone: str = "onnx",
        device: str = "auto",
    ) -> None:
        from knowledge_base.store import KnowledgeBase

        self.home = home
        self.planner = planner
        self.planner_name = planner_name
        self.procedure = procedure or Procedure()
        self.backbone_name, self.device = backbone, device
        self.knowledge = KnowledgeBase(home / "knowledge")
        self._fitted: dict[tuple[str, ...], Detector] = {}

    def inspect(self, inspection: Inspection, watch: Watch = _ignore, hear: Hear | None = None) -> Run:
        """Inspect one part; ImageError for a bad file, RunError for an unwritable home, BackboneError for no backbone.

        `watch` is told each step, `hear` each piece of the planner's text as it comes. Any other error is written into
        the trace and raised; a planner that fails is an outcome.
        """
        backbone = self._backbone()
        part, *references = load_images([inspection.image, *inspection.references])
        trace = Trace(self.home / "runs", _asked(inspection), self._setup(backbone.name))
        try:
            self._run(inspection, part, references, trace, watch, hear)
        except BaseException as error:
            trace.fail(error)
            raise
        return read_run(self.home / "runs", trace.id)

    def _run(
        self,
        inspection: Inspection,
        part: LoadedImage,
        references: list[LoadedImage],
        trace: Trace,
        watch: Watch,
        hear: Hear | None,
    ) -> None:
        from agent.briefing import first_messages
        from agent.graph import build_graph
        from tools.album import Album

        started = time.perf_counter()
        topic = self._topic(inspection)
        album = Album(trace.pictures, part, references if topic == "defects" else [])
        state: State = {"messages": first_messages(inspection, topic, album, self.procedure)}
        watch(trace.step("intake", {"images": _pictures(album), "topic": topic, **state}))
        room = self._room(inspection, topic, album, references, hear)
        settings: RunnableConfig = {**GRAPH_SETTINGS, "recursion_limit": STEPS * (self.procedure.turns + 5)}
        steps: Iterator[Any] = build_graph(room).stream(state, settings, stream_mode=["updates", "values"])
        for kind, chunk in steps:
            if kind == "values":
                state = chunk
                continue
            for node, change in chunk.items():
                watch(trace.step(node, change or {}))
        seconds = round(time.perf_counter() - started, 3)
        trace.finish(self._diagnosis(inspection, topic, trace.id, album, state, seconds).model_dump(mode="json"))

    def _topic(self, inspection: Inspection) -> Topic:
        """What the question is about; a planner without a language model inspects, whatever it is asked."""
        from agent.wire.dialect import spoken_by

        return topic_of(inspection) if spoken_by(self.planner) else "defects"

    def _room(
        self, inspection: Inspection, topic: Topic, album: Album, references: list[LoadedImage], hear: Hear | None
    ) -> Room:
        """Everything that the graph works with; a question about the object gets no anomaly tools and no references."""
        from agent.briefing import study_calls, survey_calls, task_message
        from agent.graph import Room
        from agent.submission import answer_tool, submit_tool
        from agent.wire import Wire
        from tools import MOST_CALLS, OF_THE_OBJECT, toolbox

        procedure = self.procedure
        tools = toolbox(
            album, lambda: self._detector(references), self.knowledge, inspection.product, procedure.language
        )
        submit = submit_tool
        if topic == "object":
            tools, submit = [tool for tool in tools if tool.name in OF_THE_OBJECT], answer_tool
        return Room(
            wire=Wire(self.planner, album, [*tools, submit], procedure.reasoning, hear),
            tools=tools,
            submit=submit,
            task=task_message(inspection, topic, procedure),
            study=study_calls(inspection, topic, self.knowledge),
            survey=survey_calls(inspection) if topic == "defects" else (),
            most_calls={**MOST_CALLS, "compare_with_reference": len(album.references)},
            procedure=procedure,
        )

    def _backbone(self) -> Backbone:
        from tools.detectors.features import make_backbone

        return make_backbone(self.backbone_name, self.device)

    def _detector(self, references: list[LoadedImage]) -> Detector:
        from tools.detectors.self_similarity import SelfSimilarity

        if not references:
            return SelfSimilarity(self._backbone())
        key = tuple(f"{reference.sha256} {reference.bits}" for reference in references)
        if key not in self._fitted:
            self._fitted[key] = self._fit(key, references)
        return self._fitted[key]

    def _fit(self, key: tuple[str, ...], references: list[LoadedImage]) -> Detector:
        """Fit a detector, or read the bank of the same references that an earlier process kept in the home."""
        from tools.detectors.patchcore import FULL_BANK_UP_TO, BankError, PatchCore, fit

        backbone = self._backbone()
        made_of = [version("flawlens"), backbone.name, *key]
        bank = self.home / "banks" / f"{hashlib.sha256(repr(made_of).encode()).hexdigest()[:24]}.safetensors"
        if bank.exists():
            with suppress(BankError):
                return PatchCore.load(bank, backbone)
        detector = fit([image.pixels for image in references], backbone)
        if len(references) > FULL_BANK_UP_TO:
            bank.parent.mkdir(exist_ok=True)
            detector.save(bank)
        return detector

    def _diagnosis(
        self,
        inspection: Inspection,
        topic: Topic,
        run_id: str,
        album: Album,
        state: State,
        seconds: float,
    ) -> Diagnosis:
        evidence = [Evidence(**item) for item in state.get("evidence", [])]
        result = state["result"]
        nothing = {"defects": [], "repair": Repair(disposition="hold"), "summary": "", "against": "", "answer": ""}
        answer = {**nothing, **result.get("answer", {})}
        return Diagnosis(
            run_id=run_id,
            verdict=result["verdict"],
            confidence=round(result["confidence"], 4),
            scores=result["scores"],
            **{key: answer[key] for key in nothing},
            evidence=evidence,
            outcome=state["outcome"],
            degraded=[
                *shortcomings(inspection, topic, evidence, state),
                *getattr(self.planner, "adaptations", ()),
            ],
            notes=[
                f"{name}: {note}"
                for name, view in album.views.items()
                if "crop" not in name
                for note in view.original.notes
            ],
            planner=self.planner_name,
            image=_text(inspection.image),
            product=inspection.product,
            seconds=seconds,
            usage=usage_of(state),
        )

    def _setup(self, backbone: str) -> dict[str, Any]:
        packages = (
            "flawlens",
            "langgraph",
            "chromadb",
            "onnxruntime",
            "opencv-python-headless",
            "numpy",
            "pillow",
        )
        return {
            "planner": self.planner_name,
            "settings": getattr(self.planner, "settings", {}),
            "procedure": asdict(self.procedure),
            "backbone": backbone,
            "prompts": prompts_hash(),
            "versions": {package: version(package) for package in packages},
        }


def _asked(inspection: Inspection) -> dict[str, Any]:
    return {
        "image": _text(inspection.image),
        "references": [_text(path) for path in inspection.references],
        "product": inspection.product,
        "question": inspection.question,
    }


def _text(path: Path) -> str:
    """The path as valid text: bytes of a name that are no UTF-8 are spelled out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _pictures(album: Album) -> list[dict[str, Any]]:
    """What was loaded, each with a viewable copy in the run's folder."""
    return [
        {
            "id": name,
            "file": album.save(name, at_most(view.original.pixels)),
            "width": view.original.width,
            "height": view.original.height,
            "sha256": view.original.sha256,
            "notes": list(view.original.notes),
        }
        for name, view in album.views.items()
    ]
