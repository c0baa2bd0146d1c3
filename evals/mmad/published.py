"""A run in the benchmark's own files: answers_*.json, which its script reads, and the CSV that it writes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from evals.mmad.answers import AnsweredImage
from evals.mmad.data import SUBTASKS
from evals.mmad.scores import AVERAGE, Table, mark
from knowledge_base.files import write_atomically

UNREADABLE = ""  # no letter, so that it is wrong there too


def answers_json(images: Sequence[AnsweredImage], reader: str) -> str:
    """A list with image, question, question_type, correct_answer and gpt_answer, as the published answers have it."""
    letters = iter(mark(images, reader))
    rows = [
        {
            "image": image.key,
            "question": {"text": one.question, "options": one.options},
            "question_type": one.subtask,
            "correct_answer": one.right,
            "gpt_answer": next(letters).letter or UNREADABLE,
        }
        for image in images
        for one in image.questions
    ]
    return json.dumps(rows, ensure_ascii=False, indent=1)


def accuracy_csv(rows: Table) -> str:
    """The table with a row a data set and the average last; a subtask that was not asked is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["", *SUBTASKS, AVERAGE])
    for name, row in rows.items():
        writer.writerow([name, *(row.get(column, "") for column in (*SUBTASKS, AVERAGE))])
    return text.getvalue()


def write_published(folder: Path, images: Sequence[AnsweredImage], rows: Table, name: str, reader: str) -> list[Path]:
    """Write both files into the run's folder and return their paths."""
    answers, accuracy = folder / f"answers_{name}.json", folder / f"answers_{name}_accuracy.csv"
    write_atomically(answers, answers_json(images, reader).encode())
    write_atomically(accuracy, accuracy_csv(rows).encode())
    return [answers, accuracy]
