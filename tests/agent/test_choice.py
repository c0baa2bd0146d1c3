"""Multiple-choice questions after an inspection, and directly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.diagnosis import Choice, ChoiceAnswer, Diagnosis, Inspection, Procedure
from agent.inspector import Inspector
from agent.planners import PlannerError, make_planner
from agent.submission import CHOOSE
from agent.wire.dialect import GENERIC
from knowledge_base.objects import likeness
from tests.agent.conftest import ScriptedPlanner, inspected, says, submits
from tools.appearance import appearance

DEFECT = Choice("Is there any defect in the object?", {"A": "No.", "B": "Yes."})
PLACE = Choice("There is a defect. Where is the defect?", {"A": "Top left.", "B": "Bottom right.", "C": "Center."})
PRICE = Choice("What does it cost?", {"A": "1 euro.", "B": "2 euro."})
TALKS = replace(GENERIC, protocol="native")


def chooses(letter: str, text: str = "") -> Any:
    return says(text, (CHOOSE, {"letter": letter}))


def asked(parts: Path, planner: ScriptedPlanner, *choices: Choice, **procedure: Any) -> list[ChoiceAnswer]:
    inspection = Inspection(parts / "scratched.png", (parts / "good_1.png",), choices=choices)
    run = inspected(parts / "home", planner, inspection, audit=False, **procedure)
    return Diagnosis.model_validate(run.diagnosis).choices


def test_a_model_answers_all_choices_from_one_investigation(parts: Path) -> None:
    planner = ScriptedPlanner(
        dialect=TALKS,
        replies=[
            says("", ("zoom", {"image": "part", "box": [0, 0, 500, 500]})),
            submits(),
            chooses("B"),
            chooses("A", "there"),
        ],
    )
    answers = asked(parts, planner, DEFECT, PLACE)
    assert [answer.letter for answer in answers] == ["B", "A"]
    assert answers[1].reply == "there"
    assert planner.offered[-2:] == [[CHOOSE], [CHOOSE]]
    text = str(planner.seen[-1][-1].content)
    assert "Where is the defect?" in text
    assert "any defect" not in "".join(str(message.content) for message in planner.seen[-1])


def test_with_history_a_choice_sees_those_before_it(parts: Path) -> None:
    planner = ScriptedPlanner(dialect=TALKS, replies=[submits(), chooses("B"), chooses("A")])
    asked(parts, planner, DEFECT, PLACE, history=True, direct=True)
    assert "any defect" in "".join(str(message.content) for message in planner.seen[-1])


def test_a_letter_that_is_not_offered_or_words_alone_are_no_letter(parts: Path) -> None:
    planner = ScriptedPlanner(dialect=TALKS, replies=[chooses("E"), says("I think it is B")])
    wrong, words = asked(parts, planner, DEFECT, PLACE, direct=True)
    assert wrong.letter is None
    assert (words.letter, words.reply) == (None, "I think it is B")


def test_a_planner_that_fails_is_an_answer_that_says_so(parts: Path) -> None:
    planner = ScriptedPlanner(dialect=TALKS, replies=[PlannerError("gone"), chooses("B")])
    failed, fine = asked(parts, planner, DEFECT, PLACE, direct=True)
    assert (failed.letter, failed.failure) == (None, "gone")
    assert fine.letter == "B"


def test_direct_shows_the_pictures_and_inspects_nothing(parts: Path) -> None:
    planner = ScriptedPlanner(dialect=TALKS, replies=[chooses("A")])
    inspection = Inspection(parts / "scratched.png", (parts / "good_1.png",), choices=(DEFECT,))
    run = inspected(parts / "home", planner, inspection, direct=True)
    diagnosis = Diagnosis.model_validate(run.diagnosis)
    assert not diagnosis.evidence
    assert diagnosis.scores.fused is None
    (messages,) = planner.seen
    pictures = [
        block
        for message in messages
        for block in message.content
        if isinstance(block, dict) and "image" in block["type"]
    ]
    assert len(pictures) == 2


@pytest.mark.parametrize("references", [0, 1, 2])
def test_direct_parts_stand_in_the_benchmarks_order(parts: Path, references: int) -> None:
    planner = ScriptedPlanner(dialect=TALKS, replies=[chooses("A")])
    shown = tuple(parts / f"good_{number + 1}.png" for number in range(references))
    inspection = Inspection(parts / "scratched.png", shown, choices=(PLACE,), sheet="Brackets rust at the rim.")
    inspected(parts / "home", planner, inspection, direct=True)
    ((message,),) = planner.seen
    told = [block.get("text", "<picture>") for block in message.content if isinstance(block, dict)]
    words = "\n".join(told)
    order = [
        "rust at the rim",
        *(["normal reference", *(f"reference_{number + 1}:" for number in range(references))] if references else []),
        "part:\n<picture>\n",
        "Where is the defect?\nA: Top left.\nB: Bottom right.\nC: Center.\n",
        "Answer with its letter",
    ]
    places = [words.index(text) for text in order]
    assert places == sorted(places)
    assert told.count("<picture>") == references + 1
    assert ("normal reference" in words) == bool(references)


def test_the_embedded_planner_answers_from_evidence_or_has_no_opinion(parts: Path) -> None:
    inspector = Inspector(parts / "home", make_planner("rules"), "rules", procedure=Procedure())
    references = tuple(parts / f"good_{number}.png" for number in range(1, 5))
    run = inspector.inspect(Inspection(parts / "scratched.png", references, choices=(DEFECT, PLACE, PRICE)))
    defect, place, price = Diagnosis.model_validate(run.diagnosis).choices
    assert defect.letter == "B"
    assert place.letter in PLACE.options
    assert (price.letter, price.reply) == (None, "no opinion")
    good = inspector.inspect(Inspection(parts / "good_5.png", references, choices=(DEFECT,)))
    assert Diagnosis.model_validate(good.diagnosis).choices[0].letter == "A"


@pytest.mark.parametrize(
    ("colour", "words"),
    [((120, 70, 30), "brown; fills the picture"), ((128, 128, 128), "grey; fills"), ((20, 160, 40), "green")],
)
def test_the_look_of_a_surface(colour: tuple[int, int, int], words: str) -> None:
    assert appearance(np.full((80, 120, 3), colour, np.uint8)).startswith(words)


def test_the_look_of_a_part_on_a_background() -> None:
    picture = np.full((200, 200, 3), 240, np.uint8)
    picture[90:110, 20:180] = 60
    assert "long and thin" in appearance(picture)
    options = {"A": "Leather.", "B": "Screw.", "C": "Something else."}
    scores = likeness(options, appearance(picture), "objects")
    assert max(scores, key=lambda letter: scores[letter]) == "B"
    assert scores["C"] == 0


@pytest.mark.parametrize("direct", [True, False])
def test_a_sheet_is_read_with_the_pictures(parts: Path, direct: bool) -> None:
    planner = ScriptedPlanner(dialect=TALKS, replies=[submits(), chooses("A")] if not direct else [chooses("A")])
    inspection = Inspection(parts / "scratched.png", choices=(DEFECT,), sheet="Brackets rust at the rim.")
    inspected(parts / "home", planner, inspection, direct=direct, audit=False)
    assert "Brackets rust at the rim." in "".join(str(message.content) for message in planner.seen[0])
