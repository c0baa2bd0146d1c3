"""What a profile's files promise: written at once, read only when whole, carried as one file, never executed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.example_parts import draw_part
from tools.detectors import Pixels
from tools.detectors.features import OnnxBackbone
from tools.detectors.few_shot import FewShotMethod
from tools.image import save_image
from tools.profiles import Profile, ProfileError, checked_name
from tools.profiles.enroll import Wish, enroll, survey
from tools.profiles.store import Profiles

METHOD = FewShotMethod(OnnxBackbone())


def part(seed: int, defect: str = "good") -> Pixels:
    return draw_part("bracket", defect, seed=seed, size=128).pixels


def enrolled(home: Path, name: str = "bracket") -> tuple[Profiles, Profile]:
    profiles, normals = Profiles(home / "products"), home / "normals"
    normals.mkdir(exist_ok=True)
    for seed in range(3):
        save_image(normals / f"{seed}.png", part(seed))
    wish = Wish(pose="fixed", mm_per_pixel=0.2)
    return profiles, enroll(profiles, name, METHOD, wish, survey(normals, str), None, str)


def test_a_stored_detector_scores_like_the_fitted_one(tmp_path: Path) -> None:
    profiles, profile = enrolled(tmp_path)
    fitted = METHOD.fit([part(seed) for seed in range(3)], pose="fixed")
    stored = profiles.detector(profiles.get("bracket"), METHOD)
    assert stored.calibration == fitted.calibration
    assert np.array_equal(stored.score(part(7, "stain")).scores, fitted.score(part(7, "stain")).scores)
    assert profiles.read("bracket") == profile
    suffixes = {path.suffix for path in profiles.place("bracket").iterdir() if path.name != ".lock"}
    assert suffixes == {".json", ".safetensors", ".png"}


def test_a_product_travels_as_one_file(tmp_path: Path) -> None:
    profiles, profile = enrolled(tmp_path)
    file = profiles.export("bracket", tmp_path / "bracket.flawlens")
    line = Profiles(tmp_path / "line")
    assert line.take_in(file) == profile
    assert line.names() == ["bracket"]
    scores = [one.detector(profile, METHOD).score(part(9)).image_score for one in (profiles, line)]
    assert scores[0] == scores[1]
    assert all((line.place("bracket") / name).exists() for name in profile.files)


def test_a_replaced_product_leaves_no_file_of_the_old_one(tmp_path: Path) -> None:
    profiles, first = enrolled(tmp_path)
    save_image(tmp_path / "normals" / "3.png", part(30))
    second = enroll(profiles, "bracket", METHOD, Wish(), survey(tmp_path / "normals", str), None, str)
    assert second.arrays != first.arrays
    assert {path.name for path in profiles.place("bracket").iterdir()} == {".lock", "profile.json", *second.files}
    profiles.remove("bracket")
    assert profiles.names() == []
    assert not profiles.place("bracket").exists()
    with pytest.raises(ProfileError, match="there are: none"):
        profiles.get("bracket")


def repacked(file: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    change(content)
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return file


def changed_record(**values: object) -> Callable[[dict[str, bytes]], None]:
    def change(content: dict[str, bytes]) -> None:
        content["profile.json"] = json.dumps({**json.loads(content["profile.json"]), **values}).encode()

    return change


def first_of(content: dict[str, bytes], suffix: str) -> str:
    return next(name for name in content if name.endswith(suffix))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda content: content.pop("profile.json"), "not a profile"),
        (lambda content: content.pop(first_of(content, ".safetensors")), "missing"),
        (lambda content: content.update({"../../evil.py": b"import os"}), "do not belong"),
        (lambda content: content.update({first_of(content, ".safetensors"): b"x" * 200}), "has changed"),
        (lambda content: content.update({first_of(content, ".png"): b"x" * 200}), "has changed"),
        (changed_record(name="../elsewhere"), "cannot name a product"),
        (changed_record(arrays="../../etc/passwd"), "outside its folder"),
        (changed_record(format="flawlens product 9"), "not a profile of this version"),
        (changed_record(settings={}), "no normal range"),
        (changed_record(mm_per_pixel=-1), "mm_per_pixel"),
        (changed_record(knowledge={"file": "../x.md", "text": ""}), "knowledge.file"),
    ],
)
def test_a_file_that_is_not_what_was_exported_is_refused_and_writes_nothing(
    tmp_path: Path, change: Callable[[dict[str, bytes]], None], cause: str
) -> None:
    profiles, _ = enrolled(tmp_path)
    file = repacked(profiles.export("bracket", tmp_path / "bracket.flawlens"), change)
    line = Profiles(tmp_path / "line")
    with pytest.raises(ProfileError, match=cause):
        line.take_in(file)
    assert not (tmp_path / "line").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x80\x04\x95pickle"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd").write_bytes(content)
    with pytest.raises(ProfileError, match="not an exported product"):
        Profiles(tmp_path / "line").take_in(tmp_path / "odd")


def test_a_damaged_or_foreign_detector_is_refused(tmp_path: Path) -> None:
    profiles, profile = enrolled(tmp_path)
    bare = {key: value for key, value in profile.settings.items() if key != "area"}
    for settings in ({}, bare):
        with pytest.raises(ProfileError, match="is no detector of"):
            profiles.detector(profile.model_copy(update={"settings": settings}), METHOD)
    path = profiles.place("bracket") / profile.arrays
    path.write_bytes(path.read_bytes()[:-1])
    for use in (lambda: profiles.detector(profile, METHOD), lambda: profiles.export("bracket", tmp_path / "out")):
        with pytest.raises(ProfileError, match="changed since it was written"):
            use()
    path.unlink()
    with pytest.raises(ProfileError, match="enroll the product again"):
        profiles.detector(profile, METHOD)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", ".hidden", "x" * 101, "a\0b", "两" * 40, " a", "nul:"])
def test_a_name_that_no_folder_can_have_is_refused(tmp_path: Path, name: str) -> None:
    profiles = Profiles(tmp_path)
    with pytest.raises(ProfileError, match="choose another name"):
        profiles.place(name)
    assert profiles.find(name) is None


@given(st.text(max_size=30))
def test_a_usable_name_stays_below_the_folder(name: str) -> None:
    try:
        checked_name(name)
    except ValueError:
        return
    assert (Path("/home") / name).resolve().parent == Path("/home")


def test_names_in_any_language_are_usable(tmp_path: Path) -> None:
    assert Profiles(tmp_path).place("左支架 v1.2").name == "左支架 v1.2"
    assert Profiles(tmp_path).find(None) is None
