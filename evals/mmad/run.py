"""Ask an inspector the questions of many pictures, here or in several processes, and keep every answer."""

from __future__ import annotations

import hashlib
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from agent.diagnosis import Choice, Diagnosis, Inspection, Procedure
from agent.inspector import Inspector, expected_errors
from agent.planners import PlannerError, make_planner
from evals.mmad.answers import Answered, AnsweredImage
from evals.mmad.data import MmadData, MmadImage, Question
from evals.mmad.expert import GT, LABELS, Shown, shown_on
from evals.mmad.localisation import compared_with_mask
from evals.mmad.sheets import read_sheets, sheet_of
from tools.evidence import Notation

PENDING = 4  # pictures waiting for each worker


@dataclass(frozen=True)
class Settings:
    """How the questions are asked: each field is one axis of the ablations.

    `per` is one investigation an image, or one run a question as published; `detector` may be none, gt or gt-leaking;
    `sheets` is the file of knowledge "sheet".
    """

    planner: str = "rules"
    mode: Literal["agent", "direct"] = "agent"
    shots: int = 1
    templates: Literal["random", "similar"] = "random"
    knowledge: Literal["none", "retrieved", "sheet"] = "retrieved"
    detector: str = "few-shot"
    notation: Notation = "heatmap"
    cot: bool = True
    history: bool = False
    per: Literal["image", "question"] = "image"
    image_pixels: int = 1_003_520
    sheets: str = ""
    dialect: str | None = None

    def procedure(self) -> Procedure:
        """The inspector's procedure."""
        left_out = ["anomaly_map"] if self.detector == "none" else []
        left_out += ["search_knowledge"] if self.knowledge != "retrieved" else []
        return Procedure(
            reasoning=self.cot,
            notation=self.notation,
            direct=self.mode == "direct",
            history=self.history,
            without=tuple(left_out),
            memory=False,
            # its probability is the same for every picture
            detector_weight=0.0 if self.detector == GT else Procedure.detector_weight,
        )


@dataclass(frozen=True)
class Subset:
    """Which pictures: the first `limit`, or `sample` drawn with `seed`, of which shard `shard` (i, n), i from 1."""

    limit: int | None = None
    sample: int | None = None
    seed: int = 0
    shard: tuple[int, int] = (1, 1)

    def of(self, images: Sequence[MmadImage]) -> list[MmadImage]:
        """The chosen pictures that have questions, in the order of the file."""
        chosen = [image for image in images if image.questions]
        if self.sample is not None:
            drawn = random.Random(self.seed).sample(range(len(chosen)), min(self.sample, len(chosen)))
            chosen = [chosen[index] for index in sorted(drawn)]
        chosen = chosen[: self.limit]
        number, of = self.shard
        return chosen[number - 1 :: of]


def setup_of(settings: Settings, subset: Subset, data: MmadData, annotation: Path) -> dict[str, Any]:
    """Everything that must stand next to a score."""
    return {
        "settings": asdict(settings),
        "subset": {**asdict(subset), "shard": list(subset.shard)},
        "annotation": {
            "file": annotation.name,
            "sha256": hashlib.sha256(annotation.read_bytes()).hexdigest(),
            "images": len(data.images),
            "questions": sum(len(image.questions) for image in data.images),
            "left_out": len(data.problems),
        },
        "versions": {"flawlens": version("flawlens")},
    }


class Asker:
    """Asks about one picture after the other with one inspector; traces go into the folder `home`/runs."""

    def __init__(self, settings: Settings, home: Path, api_key: str | None) -> None:
        self.settings = settings
        self.sheets = read_sheets(Path(settings.sheets)) if settings.knowledge == "sheet" else {}
        planner = make_planner(
            settings.planner,
            dialect=settings.dialect,
            most_pixels=settings.image_pixels,
            reasoning=settings.cot,
            api_key=api_key,
        )
        detector = "few-shot" if settings.detector in ("none", "default", *LABELS) else settings.detector
        self.inspector = Inspector(home, planner, settings.planner, procedure=settings.procedure(), detector=detector)

    def ask(self, image: MmadImage) -> AnsweredImage:
        """All answers on a picture; one that cannot be read or inspected is a failure, its questions unanswered."""
        templates, missing = self._templates(image)
        groups = [image.questions] if self.settings.per == "image" else [(question,) for question in image.questions]
        shown = shown_on(image, self.settings.detector)
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            found = [self._inspect(image, templates, group, shown) for group in groups]
        except expected_errors() as error:
            return _answered(image, [], zero_shot=missing, failure=str(error))
        spent = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
        told = {name: round(value, 3) for name, value in spent.items()}
        return _answered(image, found, doubts=shown.doubts if shown else (), zero_shot=missing, **told)

    def _templates(self, image: MmadImage) -> tuple[tuple[Path, ...], bool]:
        """The good parts to be shown, and whether one that was asked for is missing."""
        similar = self.settings.templates == "similar"
        wanted = (image.similar_templates if similar else image.random_templates)[: self.settings.shots]
        there = tuple(path for path in wanted if path.is_file())
        return there, len(there) < self.settings.shots

    def _inspect(
        self, image: MmadImage, templates: tuple[Path, ...], questions: Sequence[Question], shown: Shown | None
    ) -> Diagnosis:
        choices = tuple(Choice(question.text, question.options) for question in questions)
        sheet = sheet_of(self.sheets, image)
        inspection = Inspection(image.path, templates, choices=choices, topic="defects", sheet=sheet)
        run = self.inspector.inspect(inspection, given=shown.map if shown else None)
        return Diagnosis.model_validate(run.diagnosis)


def _answered(
    image: MmadImage, found: Sequence[Diagnosis], *, doubts: Sequence[str] = (), **told: Any
) -> AnsweredImage:
    said = [choice for diagnosis in found for choice in diagnosis.choices]
    questions = tuple(
        Answered(
            question.text,
            dict(question.options),
            question.answer,
            question.subtask,
            said[number].letter if said else None,
            said[number].reply or said[number].failure if said else "",
        )
        for number, question in enumerate(image.questions)
    )
    where = (image.key, image.dataset, image.product, image.anomalous)
    if not found:
        return AnsweredImage(*where, questions, **told)
    first, usages = found[0], [diagnosis.usage for diagnosis in found]
    iou, pointed = compared_with_mask(image, first)
    return AnsweredImage(
        *where,
        questions,
        runs=tuple(diagnosis.run_id for diagnosis in found),
        score=first.scores.fused,
        verdict=first.verdict,
        iou=iou,
        pointed=pointed,
        turns=sum(usage.turns for usage in usages) + len(said),
        tool_calls=sum(usage.tool_calls for usage in usages),
        tool_call_rate=first.usage.tool_call_rate,
        prompt_tokens=sum(one.prompt_tokens for one in usages) + sum(one.prompt_tokens for one in said),
        completion_tokens=sum(one.completion_tokens for one in usages) + sum(one.completion_tokens for one in said),
        degraded=(*first.degraded, *doubts),
        **told,
    )


def answers_of(
    images: Sequence[MmadImage], settings: Settings, home: Path, *, workers: int, api_key: str | None
) -> Iterator[AnsweredImage]:
    """The answers on every picture as they come: in this process, or in `workers` processes with a model each."""
    if workers == 1:
        asker = Asker(settings, home, api_key)
        yield from (asker.ask(image) for image in images)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start, (settings, home, api_key)) as pool:
        yield from _as_they_come(lambda image: pool.submit(_ask, image), images, PENDING * workers)


def _as_they_come(
    submit: Callable[[MmadImage], Future[AnsweredImage]], images: Sequence[MmadImage], most: int
) -> Iterator[AnsweredImage]:
    waiting = iter(images)
    pending: set[Future[AnsweredImage]] = set()
    try:
        while True:
            pending |= {submit(image) for image in islice(waiting, most - len(pending))}
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        for future in pending:
            future.cancel()


_ASKER: dict[str, Asker] = {}  # of a worker process: made once, since it holds a model
_UNMADE: list[str] = []  # why it could not be made: an error in a pool's start would only say that the pool is broken


def _start(settings: Settings, home: Path, api_key: str | None) -> None:
    try:
        _ASKER["mine"] = Asker(settings, home, api_key)
    except expected_errors() as error:
        _UNMADE.append(str(error))


def _ask(image: MmadImage) -> AnsweredImage:
    if _UNMADE:
        raise PlannerError(_UNMADE[0])  # of one text, as it must be to leave a process
    return _ASKER["mine"].ask(image)
