"""Both languages say everything, and know the sentences that knowledge and product write."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

import agent.batch.words
from agent.diagnosis import Disposition, Outcome, Severity, Verdict, place_of
from agent.report import sentences
from agent.report.told import Translations
from agent.report.words import CHINESE, ENGLISH
from knowledge_base.entry import read_entry
from knowledge_base.limits import Limit
from knowledge_base.store import SHIPPED

ENTRIES = [read_entry(path) for path in sorted(SHIPPED.glob("*.md"))]
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("english", "chinese"),
    [(ENGLISH, CHINESE), (agent.batch.words.ENGLISH, agent.batch.words.CHINESE)],
    ids=["report", "folder"],
)
def test_both_languages_have_the_same_words_with_the_same_gaps(
    english: dict[str, str], chinese: dict[str, str]
) -> None:
    assert english.keys() == chinese.keys()
    for key, words in english.items():
        gaps = r"\{\w+\}"
        assert sorted(re.findall(gaps, words)) == sorted(re.findall(gaps, chinese[key])), key
        assert re.search("[\u3400-\u9fff，；：（）]", chinese[key]), key


def test_every_code_has_a_word_in_both_languages() -> None:
    places = {place_of([x, y, x + 2, y + 2]) for x in (100, 500, 900) for y in (100, 500, 900)}
    codes = {"verdict": get_args(Verdict), "severity": get_args(Severity), "disposition": get_args(Disposition)}
    for kind, all_codes in {**codes, "outcome": get_args(Outcome), "place": places}.items():
        for code in all_codes:
            assert f"{kind}.{code}" in ENGLISH
            assert f"{kind}.{code}" in CHINESE
    measures = {name.partition("_")[0] for name in get_args(Limit.model_fields["measure"].annotation)}
    assert all(f"measure.{name}" in CHINESE for name in measures)


def test_every_sentence_of_every_entry_has_its_counterpart() -> None:
    translations = Translations(ENTRIES)
    for entry in ENTRIES:
        english, chinese = entry.sections["en"], entry.sections["zh"]
        for name in ("causes", "repair", "prevention"):
            for one, other in zip(getattr(english, name), getattr(chinese, name), strict=True):
                assert translations.text(one, [entry.id]).said("zh")
                assert translations.text(other, [entry.id]).versions.keys() == {"en"}
        whole = " ".join(english.causes[:2])[:600]
        assert translations.text(whole, [entry.id]).said("zh") == "".join(chinese.causes[:2])
        assert translations.text(english.effect, [entry.id]).said("zh") == chinese.effect


def test_only_whole_sentences_of_cited_entries_are_translated() -> None:
    translations = Translations(ENTRIES)
    cause = next(entry for entry in ENTRIES if entry.id == "scratch").sections["en"].causes[0]
    assert translations.text(cause, ["crack"]).said("zh") == cause
    assert translations.text(f"{cause} And more.", ["scratch"]).said("zh") == f"{cause} And more."
    assert translations.text("", ["scratch"]).said("zh") == ""
    cut = (cause + " ") * 20
    assert translations.text(cut[:600], ["scratch"]).foreign("zh") is False


def test_names_of_defects_are_those_of_cited_or_general_entries() -> None:
    translations = Translations(ENTRIES)
    assert translations.defect("Scratch", []).said("zh") == "划痕"
    assert translations.defect("划痕", []).said("en") == "scratch"
    assert translations.defect("something of its own", []).said("zh") == "something of its own"
    assert translations.text("anomaly_map could not be used: why", []).said("zh") == "异常图无法使用：why"


def test_the_fixed_sentences_are_still_those_of_the_product() -> None:
    sources = ("outcome.py", "planners/rules_answer.py")
    written = "".join((ROOT / "agent" / name).read_text(encoding="utf-8") for name in sources)
    for sentence in (*sentences.CHINESE, *sentences.BEGINNINGS):
        assert sentence in written, sentence
