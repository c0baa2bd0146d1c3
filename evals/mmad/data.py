"""The questions of MMAD (Jiang et al., ICLR 2025, arXiv 2410.09453), folded to its seven subtasks, checked."""

from __future__ import annotations

import hashlib
import json
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError

from evals.dataset import GOOD, DatasetError, Problem

Subtask = Literal[
    "Anomaly Detection",
    "Defect Classification",
    "Defect Localization",
    "Defect Description",
    "Defect Analysis",
    "Object Classification",
    "Object Analysis",
]
SUBTASKS: tuple[Subtask, ...] = get_args(Subtask)
DETECTION: Subtask = SUBTASKS[0]
# as the published scores fold them
_SUBTASK: Mapping[str, Subtask] = {
    **{name: name for name in SUBTASKS},
    "Object Structure": "Object Analysis",
    "Object Details": "Object Analysis",
}
_DATASET = {"MVTec-AD": "DS-MVTec"}


@dataclass(frozen=True)
class Question:
    """One multiple-choice question: options by letter (2 to 5) and the letter of the right one."""

    text: str
    options: Mapping[str, str]
    answer: str
    subtask: Subtask


@dataclass(frozen=True)
class MmadImage:
    """One picture with its questions; all paths are inside the data root and need not exist.

    `key` names it in mmad.json; `dataset` is DS-MVTec for MVTec-AD too; `defect` is the name of its folder. `marks` are
    the masks that a ground-truth expert may show on it, the first usable one (evals.mmad.expert).
    """

    key: str
    dataset: str
    product: str
    defect: str
    path: Path
    mask: Path | None
    similar_templates: tuple[Path, ...]
    random_templates: tuple[Path, ...]
    questions: tuple[Question, ...]
    marks: tuple[Path, ...] = ()

    @property
    def anomalous(self) -> bool:
        return self.defect != GOOD


@dataclass(frozen=True)
class MmadData:
    """The usable entries, and one problem for every entry or question left out: their number is the count."""

    root: Path
    images: tuple[MmadImage, ...]
    problems: tuple[Problem, ...]


class _RawQuestion(BaseModel):
    text: str = Field(alias="Question")
    options: dict[str, str] = Field(alias="Options", min_length=2, max_length=5)
    answer: str = Field(alias="Answer")
    type: str


class _RawEntry(BaseModel):
    conversation: list[Any]
    mask_path: str | None = None
    similar_templates: list[str] = []
    random_templates: list[str] = []


def read_mmad(root: Path, annotation: Path | None = None) -> MmadData:
    """Read mmad.json (`annotation`, by default inside `root`), leaving out and listing what is broken.

    No picture is touched: `validate` does that. Raises DatasetError when the file is no JSON object.
    """
    images, problems = [], []
    for key, raw in _json_object(annotation or root / "mmad.json").items():
        try:
            image, doubts = _image(root, key, raw)
        except ValueError as error:
            problems.append(Problem(key, "bad entry", _reason(error)))
            continue
        images.append(image)
        problems += doubts
    return MmadData(root, tuple(images), tuple(problems))


def validate(data: MmadData) -> list[Problem]:
    """What was left out while reading, every file that is missing, and every picture that occurs twice.

    Reads all pictures of equal size in bytes. A "missing file" makes its entry unusable, a "missing template"
    leaves it without a reference; `where` is the entry's key.
    """
    problems = list(data.problems)
    for image in data.images:
        problems += _missing(data.root, image)
    return problems + list(_duplicates(data.images))


def _json_object(path: Path) -> dict[str, Any]:
    try:
        entries = json.loads(path.read_bytes())
    except OSError as error:
        cause = error.strerror or "cannot be read"
        raise DatasetError(path, cause, "name MMAD's mmad.json and its data folder") from error
    except ValueError as error:
        raise DatasetError(path, f"not JSON ({error})", "download mmad.json again") from error
    if not isinstance(entries, dict):
        raise DatasetError(path, f"a JSON {type(entries).__name__}, expected an object", "use MMAD's mmad.json")
    return entries


def _image(root: Path, key: str, raw: Any) -> tuple[MmadImage, list[Problem]]:
    """One entry and the problems of its questions; raises ValueError for a broken one."""
    entry = _RawEntry.model_validate(raw)
    path = _inside(root, key)
    parts = PurePosixPath(key).parts
    if len(parts) < 4:
        raise ValueError("its key is not <dataset>/<class>/<folder>/<file>")
    questions, problems = [], []
    for number, item in enumerate(entry.conversation, 1):
        try:
            questions.append(_question(item))
        except ValueError as error:
            problems.append(Problem(key, "bad entry", f"question {number}: {_reason(error)}"))
    image = MmadImage(
        key=key,
        dataset=_DATASET.get(parts[0], parts[0]),
        product=parts[1],
        defect=parts[-2],
        path=path,
        mask=_inside(root, f"{parts[0]}/{parts[1]}/{entry.mask_path}") if entry.mask_path else None,
        similar_templates=tuple(_inside(root, template) for template in entry.similar_templates),
        random_templates=tuple(_inside(root, template) for template in entry.random_templates),
        questions=tuple(questions),
    )
    return image, problems


def _inside(root: Path, relative: str) -> Path:
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{relative!r} leads out of the data folder")
    return root / path


def _question(raw: Any) -> Question:
    item = _RawQuestion.model_validate(raw)
    if item.answer not in item.options:
        raise ValueError(f"its answer {item.answer!r} is not among the options {', '.join(item.options)}")
    if item.type not in _SUBTASK:
        raise ValueError(f"unknown type {item.type!r}")
    return Question(item.text, item.options, item.answer, _SUBTASK[item.type])


def _reason(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error)


def _missing(root: Path, image: MmadImage) -> Iterator[Problem]:
    for path in (image.path, image.mask):
        if path is not None and file_size(path) is None:
            yield Problem(image.key, "missing file", f"no {path.relative_to(root)}")
    for template in (*image.similar_templates, *image.random_templates):
        if file_size(template) is None:
            yield Problem(image.key, "missing template", f"no {template.relative_to(root)}")


def file_size(path: Path) -> int | None:
    """Bytes of a file; None when there is none, or its name is impossible."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _duplicates(images: tuple[MmadImage, ...]) -> Iterator[Problem]:
    """Equal bytes under two keys; across products one of the two is in the wrong folder."""
    by_size: defaultdict[int | None, list[MmadImage]] = defaultdict(list)
    for image in images:
        by_size[file_size(image.path)].append(image)
    by_size.pop(None, None)
    first: dict[bytes, MmadImage] = {}
    for image in (image for group in by_size.values() if len(group) > 1 for image in group):
        try:
            original = first.setdefault(hashlib.sha256(image.path.read_bytes()).digest(), image)
        except OSError as error:
            yield Problem(image.key, "unreadable", error.strerror or "cannot be read")
            continue
        if original is not image:
            yield Problem(image.key, "duplicate", f"same bytes as {original.key}{_mixed_up(original, image)}")


def _mixed_up(one: MmadImage, other: MmadImage) -> str:
    if {one.product, other.product} == {"pill", "metal_nut"}:
        # jam-cc/MMAD issues 15 and 19
        return ": a metal nut among the pills, as in MMAD's first release"
    return "" if one.product == other.product else ": one of them is filed under the wrong product"
