"""MMAD's questions: the real samples, the folding, and its known faults (row 39 of nasty/README.md)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evals.dataset import DatasetError
from evals.mmad.data import SUBTASKS, MmadData, read_mmad, validate

YES_NO = {"Question": "Any defect?", "Answer": "A", "Options": {"A": "Yes.", "B": "No."}, "type": "Anomaly Detection"}


def write(path: Path, entries: Any) -> Path:
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def entry(*questions: Any, **fields: Any) -> dict[str, Any]:
    return {"conversation": list(questions or [YES_NO]), **fields}


def kinds(data: MmadData) -> list[str]:
    return [problem.kind for problem in validate(data)]


@pytest.fixture(scope="session")
def keys(data: Path) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = json.loads((data / "mmad" / "mmad_keys_and_answers_989.json").read_bytes())
    return answers


@pytest.fixture(scope="session")
def named(keys: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> MmadData:
    """The 989 real keys, each with the question and answer letter of the file."""
    options = {letter: f"option {letter}" for letter in "ABCD"}
    entries = {key["image"]: entry({**YES_NO, "Options": options, "Answer": key["correct_answer"]}) for key in keys}
    root = tmp_path_factory.mktemp("mmad")
    return read_mmad(root, write(root / "keys.json", entries))


def test_real_entries_are_read_whole(data: Path) -> None:
    mmad = data / "mmad"
    first, second = read_mmad(mmad, mmad / "mmad_sample_2_real_entries.json").images
    assert (first.dataset, first.product, first.defect, first.anomalous) == ("DS-MVTec", "bottle", "broken_large", True)
    assert first.path == mmad / "DS-MVTec/bottle/image/broken_large/000.png"
    assert first.mask == mmad / "DS-MVTec/bottle/rbg_mask/broken_large/000_rbg_mask.png"
    assert first.similar_templates[0] == mmad / "MVTec-AD/bottle/train/good/001.png"
    assert [question.subtask for question in first.questions] == list(SUBTASKS[:5])
    classification = first.questions[1]
    assert classification.options[classification.answer] == "Broken large."
    assert len(second.questions) == 3


def test_missing_pictures_masks_and_templates_are_listed_by_entry(data: Path) -> None:
    mmad = data / "mmad"
    read = read_mmad(mmad, mmad / "mmad_sample_2_real_entries.json")
    assert kinds(read) == (["missing file"] * 2 + ["missing template"] * 4) * 2
    assert {problem.where for problem in validate(read)} == {image.key for image in read.images}


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "\ud800"])
def test_impossible_names_are_missing_files(name: str, tmp_path: Path) -> None:
    entries = {f"VisA/pcb1/test/good/{name}": entry()}
    assert kinds(read_mmad(tmp_path, write(tmp_path / "mmad.json", entries))) == ["missing file"]


def test_questions_about_our_own_pictures_are_valid(data: Path) -> None:
    read = read_mmad(data.parent, data / "mmad" / "mmad_style_shared_images.json")
    assert len(read.images) == 311
    assert sum(len(image.questions) for image in read.images) == 830
    assert read.problems == ()
    assert set(kinds(read)) <= {"duplicate"}
    assert {image.anomalous for image in read.images if image.defect == "good"} == {False}
    assert {image.anomalous for image in read.images if image.mask} == {True}


def test_the_two_names_of_mvtec_are_one_data_set(keys: list[dict[str, Any]], named: MmadData) -> None:
    assert named.problems == ()
    assert len(named.images) == len(keys) == 989
    assert {image.dataset for image in named.images} == {"DS-MVTec", "MVTec-LOCO", "VisA", "GoodsAD"}
    assert sum(image.dataset == "DS-MVTec" for image in named.images) == sum(
        "MVTec-AD" in k["image"] or "DS-" in k["image"] for k in keys
    )


def test_the_flag_agrees_with_every_key_that_the_published_run_read_right(
    keys: list[dict[str, Any]], named: MmadData
) -> None:
    """That run looked for "good" anywhere in the key and so took all of GoodsAD for normal."""
    published = {key["image"]: key["anomalous"] for key in keys}
    differing = [image for image in named.images if image.anomalous != published[image.key]]
    assert len(differing) == 180
    for image in differing:
        assert image.anomalous
        assert image.dataset == "GoodsAD"
        assert "/test/good/" not in image.key
        assert "good" in image.key.lower()


@pytest.mark.parametrize(
    ("key", "anomalous"),
    [
        ("goods/box/test/broken/1.png", True),
        ("VisA/good/test/not_good/1.png", True),
        ("VisA/box/good/bad/good.png", True),
        ("GoodsAD/box/test/good/1.jpg", False),
    ],
)
def test_only_the_folder_of_the_picture_makes_it_good(key: str, anomalous: bool, tmp_path: Path) -> None:
    (image,) = read_mmad(tmp_path, write(tmp_path / "mmad.json", {key: entry()})).images
    assert image.anomalous is anomalous


def test_object_questions_fold_to_one_subtask(tmp_path: Path) -> None:
    questions = [{**YES_NO, "type": name} for name in ("Object Structure", "Object Details", "Object Classification")]
    (image,) = read_mmad(tmp_path, write(tmp_path / "a.json", {"VisA/pcb1/test/bad/1.JPG": entry(*questions)})).images
    assert [question.subtask for question in image.questions] == ["Object Analysis"] * 2 + ["Object Classification"]
    assert len(SUBTASKS) == 7


BROKEN_QUESTIONS = {
    "answer is not an option": {**YES_NO, "Answer": "C"},
    "one option": {**YES_NO, "Options": {"A": "Yes."}},
    "six options": {**YES_NO, "Options": dict.fromkeys("ABCDEF", "x")},
    "unknown type": {**YES_NO, "type": "Poetry"},
    "no answer": {name: value for name, value in YES_NO.items() if name != "Answer"},
    "no object": None,
}


@pytest.mark.parametrize("name", BROKEN_QUESTIONS)
def test_a_broken_question_is_left_out_alone(name: str, tmp_path: Path) -> None:
    entries = {"VisA/pcb1/test/bad/1.JPG": entry(YES_NO, BROKEN_QUESTIONS[name], YES_NO)}
    read = read_mmad(tmp_path, write(tmp_path / "mmad.json", entries))
    assert [len(image.questions) for image in read.images] == [2]
    (problem,) = read.problems
    assert problem.kind == "bad entry"
    assert problem.where == "VisA/pcb1/test/bad/1.JPG"
    assert problem.text.startswith("question 2: ")
    assert "\n" not in problem.text


@pytest.mark.parametrize(
    "key", ["../secret/a/good/1.png", "/etc/x/y/passwd", "VisA/pcb1/1.png", "VisA/../../x/1.png", ""]
)
def test_a_key_outside_the_data_folder_is_left_out(key: str, tmp_path: Path) -> None:
    entries = {key: entry(), "VisA/pcb1/test/good/1.JPG": entry()}
    read = read_mmad(tmp_path, write(tmp_path / "mmad.json", entries))
    assert [image.key for image in read.images] == ["VisA/pcb1/test/good/1.JPG"]
    assert [(problem.where, problem.kind) for problem in read.problems] == [(key, "bad entry")]


def test_masks_and_templates_outside_the_data_folder_are_left_out(tmp_path: Path) -> None:
    key = "VisA/pcb1/test/bad/1.JPG"
    for fields in ({"mask_path": "../../../x.png"}, {"similar_templates": ["/etc/passwd"]}):
        read = read_mmad(tmp_path, write(tmp_path / "mmad.json", {key: entry(**fields)}))
        assert read.images == ()
        assert "leads out of the data folder" in read.problems[0].text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ENTRIES = JSON | st.fixed_dictionaries(
    {"conversation": st.lists(JSON, max_size=3)},
    optional={"mask_path": JSON, "similar_templates": st.lists(st.text(max_size=300)) | JSON},
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    entries=st.dictionaries(
        st.text(max_size=9) | st.builds("VisA/a/b/{}".format, st.text(max_size=400)), ENTRIES, max_size=3
    )
)
def test_no_single_entry_can_stop_the_run(entries: dict[str, Any], tmp_path: Path) -> None:
    read = read_mmad(tmp_path, write(tmp_path / "mmad.json", entries))
    validate(read)
    left_out = {problem.where for problem in read.problems}
    assert {image.key for image in read.images} | left_out == set(entries)


def test_a_file_that_is_not_mmad_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text("version https://git-lfs", encoding="utf-8")
    for path in (tmp_path / "text.json", write(tmp_path / "list.json", []), tmp_path / "none.json", None):
        with pytest.raises(DatasetError) as caught:
            read_mmad(tmp_path, path)
        assert str(path or tmp_path / "mmad.json") in str(caught.value)


def test_equal_pictures_of_the_corrected_pills_are_found(data: Path, tmp_path: Path) -> None:
    folder = "DS-MVTec/pill/image/good"
    entries = {f"{folder}/{number:03d}.png": entry() for number in range(10)}
    read = read_mmad(data / "mmad", write(tmp_path / "pills.json", entries))
    assert [(problem.kind, problem.where, problem.text) for problem in validate(read)] == [
        ("duplicate", f"{folder}/005.png", f"same bytes as {folder}/002.png"),
        ("duplicate", f"{folder}/007.png", f"same bytes as {folder}/004.png"),
    ]


def test_metal_nuts_among_the_pills_are_found_by_their_bytes(data: Path, tmp_path: Path) -> None:
    names = [f"DS-MVTec/{product}/image/good/000.png" for product in ("metal_nut", "pill", "screw")]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copy(data / "mmad/DS-MVTec/pill/image/good/000.png", tmp_path / name)
    read = read_mmad(tmp_path, write(tmp_path / "mmad.json", {name: entry() for name in names}))
    nut, other = validate(read)
    assert nut.where == names[1]
    assert "metal nut among the pills" in nut.text
    assert "under the wrong product" in other.text
