"""Inspector.inspect: the one road of a request, from files to a diagnosis with its trace."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.diagnosis import Diagnosis, Inspection, Repair
from agent.trace import Event, Run, Trace, read_run
from prompts import prompts_hash, render
from tools.drawing import at_most
from tools.evidence import Evidence
from tools.image import LoadedImage, load_images

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AnyMessage
    from langchain_core.runnables import RunnableConfig

    from agent.graph import State
    from knowledge_base.store import KnowledgeBase
    from tools.album import Album
    from tools.detectors import Detector
    from tools.detectors.features import Backbone

# One tool at a time: sibling calls would share one detector, and crops are numbered in the order of the calls.
GRAPH_SETTINGS: RunnableConfig = {"recursion_limit": 100, "max_concurrency": 1}

Watch = Callable[[Event], None]


def _ignore(event: Event) -> None:
    """Nobody watches."""


class Inspector:
    """Inspects parts in one home folder; detector, knowledge and planner are made once and kept.

    `home` holds runs/, knowledge/ and banks/ (fitted to more than four references); `planner` is a langchain chat model
    and `planner_name` what a result calls it; `backbone` is "onnx" or "timm:NAME", the latter on `device` auto, cpu or
    cuda[:N].
    """

    def __init__(
        self, home: Path, planner: BaseChatModel, planner_name: str, *, backbone: str = "onnx", device: str = "auto"
    ) -> None:
        from knowledge_base.store import KnowledgeBase

        self.home = home
        self.planner = planner
        self.planner_name = planner_name
        self.backbone_name, self.device = backbone, device
        self.knowledge = KnowledgeBase(home / "knowledge")
        self._fitted: dict[tuple[str, ...], Detector] = {}

    def inspect(self, inspection: Inspection, watch: Watch = _ignore) -> Run:
        """Inspect one part; ImageError for a bad file, RunError for an unwritable home, BackboneError for no backbone.

        Any other error is written into the trace and raised.
        """
        backbone = self._backbone()
        part, *references = load_images([inspection.image, *inspection.references])
        trace = Trace(self.home / "runs", _asked(inspection), self._setup(backbone.name))
        try:
            self._run(inspection, part, references, trace, watch)
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
    ) -> None:
        from agent.graph import MOST_TURNS, Room, build_graph
        from tools import toolbox
        from tools.album import Album

        started = time.perf_counter()
        album = Album(trace.pictures, part, references)
        watch(trace.step("intake", {"images": _pictures(album)}))
        tools = toolbox(album, lambda: self._detector(references), self.knowledge, inspection.product)
        room = Room(self.planner, tools, survey_calls(inspection, self.knowledge))
        state: State = {"messages": first_messages(inspection, album, MOST_TURNS)}
        steps: Iterator[Any] = build_graph(room).stream(state, GRAPH_SETTINGS, stream_mode=["updates", "values"])
        for kind, chunk in steps:
            if kind == "values":
                state = chunk
                continue
            for node, change in chunk.items():
                watch(trace.step(node, change or {}))
        seconds = round(time.perf_counter() - started, 3)
        trace.finish(self._diagnosis(inspection, trace.id, album, state, seconds).model_dump(mode="json"))

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
        run_id: str,
        album: Album,
        state: State,
        seconds: float,
    ) -> Diagnosis:
        evidence = [Evidence(**item) for item in state.get("evidence", [])]
        result = state["result"]
        answer = result.get("answer") or {
            "defects": [],
            "repair": Repair(disposition="hold"),
            "summary": "",
            "against": "",
        }
        return Diagnosis(
            run_id=run_id,
            verdict=result["verdict"],
            confidence=round(result["confidence"], 4),
            scores=result["scores"],
            **{key: answer[key] for key in ("defects", "repair", "summary", "against")},
            evidence=evidence,
            outcome=state["outcome"],
            degraded=shortcomings(inspection, evidence, state["outcome"]),
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
            "backbone": backbone,
            "prompts": prompts_hash(),
            "versions": {package: version(package) for package in packages},
        }


def survey_calls(inspection: Inspection, knowledge: KnowledgeBase) -> list[tuple[str, dict[str, Any]]]:
    """The cheap tools that run before the planner is asked."""
    calls: list[tuple[str, dict[str, Any]]] = [("anomaly_map", {})]
    if inspection.references:
        calls.append(("compare_with_reference", {"reference": "reference_1"}))
    if inspection.product and knowledge.knows(inspection.product):
        calls.append(("search_knowledge", {"query": f"typical defects of {inspection.product}"}))
    return calls


def first_messages(inspection: Inspection, album: Album, turns: int) -> list[AnyMessage]:
    """System text and task; the pictures are named by id and travel apart from the state."""
    from langchain_core.messages import HumanMessage, SystemMessage

    task = render(
        "inspect",
        product=inspection.product,
        images=list(album.views),
        references=len(inspection.references),
        question=inspection.question,
        turns=turns,
    )
    return [SystemMessage(render("system")), HumanMessage(task)]


def shortcomings(inspection: Inspection, evidence: Sequence[Evidence], outcome: str) -> list[str]:
    """Why this result deserves less trust than a full one."""
    found = []
    if outcome != "submitted":
        found.append(f"the planner gave no valid answer ({outcome})")
    if not inspection.references:
        found.append("no reference of a good part: the anomaly map is weak evidence")
    for item in evidence:
        if "refused" in item.numbers:
            found.append(f"{item.tool} could not be used: {item.numbers['refused']}")
    return found


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
