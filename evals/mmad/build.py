"""Step three of the recipe: questions in MMAD's schema for pictures in MVTec layout, balanced, seeded and checked."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.diagnosis import place_of
from evals.dataset import DatasetError, ProductData, Sample, read_product
from evals.mmad.data import DETECTION, SUBTASKS, Subtask
from evals.mmad.prior import Prior, described, prior_of
from knowledge_base.files import write_atomically
from knowledge_base.store import KnowledgeBase
from tools.image import load_image
from tools.similar import ranking

LETTERS = "ABCD"
TEMPLATES = 2
PLACES = sorted({place_of([x, y, x, y]) for x in (100, 500, 900) for y in (100, 500, 900)})
DEFECTS = ("scratch", "dent", "stain", "crack", "hole", "contamination", "missing part", "burn mark", "deformation")
OBJECTS = ("bottle", "cable", "gear", "hinge", "label", "zipper", "washer", "carton", "spring", "tube", "valve")
TONES = ("dark", "light", "reddish", "greenish")
SHAPES = ("compact spot", "thin elongated line", "elongated mark", "broad area")
AREAS = (0.1, 0.5, 3.0, 20.0)
COLOURS = ("black", "dark grey", "grey", "light grey", "brown", "red", "yellow", "green", "blue")
GROUNDS = tuple(f"stands alone on a {colour} background" for colour in ("black", "dark grey", "grey", "light grey"))
OUTLINES = ("long and thin", "rectangular", "round", "irregular")
LOOKS_A_COLOUR = 4
TEXTURES = ("smooth", "fine grain", "rough", "fine grain with lines", "smooth with lines")
MOST_LEAK = 0.15  # over chance: how often the right option may be the longest, or stand under one letter
ASKED = {
    "Anomaly Detection": "Is there any defect in the object?",
    "Defect Classification": "There is a defect in the object. What is the type of the defect?",
    "Defect Localization": "There is a defect in the object. Where is the defect?",
    "Defect Description": "There is a defect in the object. What is the appearance of the defect?",
    "Defect Analysis": "There is a defect in the object. What is the effect of the defect?",
    "Object Classification": "What is the object in the image?",
    "Object Analysis": "How does the object look as a whole?",
}


@dataclass(frozen=True)
class Built:
    """What was built: questions by subtask, how often (0-1) the right option is the longest."""

    annotation: Path
    images: int
    questions: Counter[str]
    longest: float


@dataclass(frozen=True, eq=False)
class _Case:
    product: ProductData
    sample: Sample
    prior: Prior


def build(folders: Sequence[Path], out: Path, knowledge: KnowledgeBase, seed: int = 0) -> Built:
    """Write `out`/mmad.json, priors.json and overlays for product folders that lie beside each other.

    Keys are relative to the folder above the data set, which is the --data of a run. DatasetError when the folders do
    not lie beside each other, hold no defect, or the right options would tell themselves by length or letter.
    """
    if len({folder.resolve().parent for folder in folders}) != 1:
        raise DatasetError(out, "the products lie in different folders", "name products of one data set")
    cases = [
        _Case(product, sample, prior_of(product, sample, out / "overlays" / product.folder.name))
        for product in map(read_product, (folder.resolve() for folder in folders))
        for sample in product.test
    ]
    if not any(case.sample.defective for case in cases):
        raise DatasetError(folders[0], "no defect in test", "name products with defective parts")
    writer = _Writer(cases, knowledge, random.Random(seed))
    entries = {_key(case): writer.entry(case) for case in cases}
    longest = _checked(out, entries)
    out.mkdir(parents=True, exist_ok=True)
    priors = {_key(case): case.prior.plain() for case in cases}
    for name, value in (("mmad.json", entries), ("priors.json", priors)):
        write_atomically(out / name, json.dumps(value, ensure_ascii=False, indent=1).encode())
    count = Counter(question["type"] for entry in entries.values() for question in entry["conversation"])
    return Built(out / "mmad.json", len(entries), count, longest)


def _key(case: _Case) -> str:
    return _relative(case.product, case.sample.path)


def _relative(product: ProductData, path: Path) -> str:
    return path.relative_to(product.folder.parent.parent).as_posix()


class _Writer:
    """Writes the entries of one data set; what other pictures show makes the wrong options."""

    def __init__(self, cases: Sequence[_Case], knowledge: KnowledgeBase, rng: random.Random) -> None:
        self.knowledge, self.rng = knowledge, rng
        self.objects = sorted({case.prior.object for case in cases})
        self.defects: dict[str, set[str]] = defaultdict(set)
        for case in cases:
            if case.prior.defect:
                self.defects[case.prior.object].add(case.prior.defect)
        self.effects = {name: self._effect(*name) for name in self._kinds()}
        self.turns: dict[tuple[str, int], list[int]] = defaultdict(list)

    def _kinds(self) -> set[tuple[str, str]]:
        return {(object_, defect) for object_, defects in self.defects.items() for defect in defects}

    def _effect(self, object_: str, defect: str) -> str | None:
        """The effect that the best entry on such a defect names."""
        found = self.knowledge.search(f"{object_} {defect}", language="en", limit=1)
        entry = self.knowledge.entry(found[0].id) if found else None
        return self._short(entry) if entry else None

    def entry(self, case: _Case) -> dict[str, Any]:
        """The entry of one picture."""
        inside = case.product.folder
        templates = [_relative(case.product, path) for path in self._templates(case)]
        similar = [_relative(case.product, path) for path in _most_similar(case)]
        masks = case.sample.masks[:1]
        return {
            "image_path": case.sample.path.relative_to(inside).as_posix(),
            "conversation": list(self._questions(case.prior)),
            "mask_path": masks[0].relative_to(inside).as_posix() if masks else None,
            "similar_templates": similar,
            "random_templates": templates,
        }

    def _templates(self, case: _Case) -> list[Path]:
        return self.rng.sample(case.product.train, min(TEMPLATES, len(case.product.train)))

    def _questions(self, prior: Prior) -> Iterator[dict[str, Any]]:
        writers: Mapping[Subtask, Callable[[Prior], tuple[str, Iterable[str]] | None]] = {
            "Anomaly Detection": lambda one: ("Yes.", ["No."]) if one.defect else ("No.", ["Yes."]),
            "Defect Classification": self._kind,
            "Defect Localization": lambda one: (_said(one.place), map(_said, PLACES)) if one.place else None,
            "Defect Description": self._description,
            "Defect Analysis": self._analysis,
            "Object Classification": lambda one: (_said(one.object), map(_said, [*self.objects, *OBJECTS])),
            "Object Analysis": self._look,
        }
        for subtask in SUBTASKS:
            written = writers[subtask](prior)
            if written is not None and (question := self._question(subtask, *written)) is not None:
                yield question

    def _kind(self, prior: Prior) -> tuple[str, Iterable[str]] | None:
        """The folder's name among the product's other defects, then general ones; None for one that names nothing."""
        if prior.defect is None or prior.defect in ("anomaly", "defective", "mixed", "bad"):
            return None
        others = sorted(self.defects[prior.object] - {prior.defect})
        general = [name for name in DEFECTS if not set(name.split()) & set(prior.defect.split())]
        return _said(prior.defect), map(_said, [*others, *self.rng.sample(general, len(general))])

    def _description(self, prior: Prior) -> tuple[str, Iterable[str]] | None:
        if prior.description is None:
            return None
        looks = [described(f"{tone} {shape}", area) for tone in TONES for shape in SHAPES for area in AREAS]
        mine = {word for word in prior.description.lower().rstrip(".").split() if word != "a"}
        apart = [text for text in looks if len(mine & set(text.lower().rstrip(".").split())) < 2]
        return prior.description, _like_in_length(prior.description, apart, self.rng)

    def _analysis(self, prior: Prior) -> tuple[str, Iterable[str]] | None:
        effect = self.effects.get((prior.object, prior.defect)) if prior.defect else None
        if effect is None:
            return None
        others = sorted({other for other in self.effects.values() if other and other != effect})
        general = [text for entry in self.knowledge.list() if (text := self._short(entry)) != effect]
        return effect, _like_in_length(effect, [*others, *general], self.rng)

    @staticmethod
    def _short(entry: Any) -> str:
        return str(entry.sections["en"].model_dump()["effect"]).split(". ")[0].rstrip(".") + "."

    def _look(self, prior: Prior) -> tuple[str, Iterable[str]]:
        """The look beside others of the same form, each in another colour."""
        colour, *rest = prior.look.split("; ")
        others = [other for other in COLOURS if not {*other.split()} & {*colour.split()}]
        wrong = [
            "; ".join([other, *[self.rng.choice(_words_like(part)) for part in rest]])
            for other in others
            for _ in range(LOOKS_A_COLOUR)
        ]
        return _said(prior.look), map(_said, _like_in_length(prior.look, wrong, self.rng))

    def _turn(self, kind: str, options: int) -> int:
        """Where the right option stands: every place once, in a drawn order, before any comes again."""
        deck = self.turns[kind, options]
        if not deck:
            deck += self.rng.sample(range(options), options)
        return deck.pop()

    def _question(self, subtask: Subtask, right: str, candidates: Iterable[str]) -> dict[str, Any] | None:
        """The question with its options; None with fewer than two."""
        wrong = list(dict.fromkeys(text for text in candidates if text.casefold() != right.casefold()))
        if subtask in ("Defect Localization", "Object Classification"):
            wrong = self.rng.sample(wrong, len(wrong))
        wrong = wrong[: 1 if subtask == DETECTION else len(LETTERS) - 1]
        if not wrong:
            return None
        place = self._turn(subtask + (right if subtask == DETECTION else ""), len(wrong) + 1)
        texts = self.rng.sample(wrong, len(wrong))
        texts.insert(place, right)
        options = dict(zip(LETTERS, texts, strict=False))
        return {
            "Question": ASKED[subtask],
            "Answer": LETTERS[place],
            "Options": options,
            "type": subtask,
            "annotation": True,
        }


def _words_like(part: str) -> Sequence[str]:
    """The words of a look that stand where this one does."""
    return next((words for words in (GROUNDS, OUTLINES, TEXTURES) if part in words), (part,))


def _most_similar(case: _Case) -> list[Path]:
    """The good parts that look most like the picture, as MMAD's similar templates."""
    if not case.product.train:
        return []
    references = [load_image(path).pixels for path in case.product.train]
    ranked = ranking(load_image(case.sample.path).pixels, references)[:TEMPLATES]
    return [case.product.train[index] for index, _ in ranked]


def _like_in_length(right: str, texts: Sequence[str], rng: random.Random) -> list[str]:
    """Texts of which about as many are longer than the right one as shorter, near it in length."""
    distinct = sorted(set(texts) - {right})
    near = sorted(rng.sample(distinct, len(distinct)), key=lambda text: abs(len(text) - len(right)))
    longer = [text for text in near if len(text) > len(right)]
    shorter = [text for text in near if len(text) <= len(right)]
    wanted = rng.randint(0, len(LETTERS) - 1)
    chosen = longer[:wanted] + shorter[: len(LETTERS) - 1 - wanted]
    return [*chosen, *[text for text in near if text not in chosen]]


def _said(text: str | None) -> str:
    return f"{(text or '')[:1].upper()}{(text or '')[1:]}."


def _checked(out: Path, entries: Mapping[str, Any]) -> float:
    """The share of right options that are the longest; DatasetError when they tell themselves or are not unique."""
    questions = [question for entry in entries.values() for question in entry["conversation"]]
    for question in questions:
        texts = [text.casefold() for text in question["Options"].values()]
        if len(set(texts)) != len(texts) or question["Answer"] not in question["Options"]:
            raise DatasetError(out, f"two options are alike: {texts}", "rename the folders of defects apart")
    told = [one for one in questions if len(one["Options"]) == len(LETTERS)]
    letters = Counter(one["Answer"] for one in told)
    longest = [_is_longest(one) for one in told if len({*map(len, one["Options"].values())}) > 1]
    share = sum(longest) / len(longest) if longest else 0.0
    chance = 1 / len(LETTERS) + MOST_LEAK
    enough = len(told) >= 40
    if enough and (share > chance or max(letters.values()) / len(told) > chance):
        raise DatasetError(
            out, f"the right option is the longest in {share:.0%}", "use another --seed or more pictures"
        )
    return share


def _is_longest(question: Mapping[str, Any]) -> bool:
    lengths = {letter: len(text) for letter, text in question["Options"].items()}
    right = lengths.pop(question["Answer"])
    return right > max(lengths.values())
