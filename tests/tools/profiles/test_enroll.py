"""Enrolling: what is kept, what is warned of, and that a killed one changes nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evals.example_parts import draw_part
from tools.detectors.features import OnnxBackbone
from tools.detectors.few_shot import FewShotMethod
from tools.image import save_image
from tools.profiles import ProfileError
from tools.profiles.enroll import KEPT, Pictures, Wish, enroll, survey
from tools.profiles.store import Profiles

METHOD = FewShotMethod(OnnxBackbone())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six good brackets, two copies, a board among them, two broken files, and defects."""
    folder = tmp_path_factory.mktemp("line")
    for below in ("normals/shift b", "defects"):
        (folder / below).mkdir(parents=True)
    for seed in range(6):
        save_image(folder / "normals" / f"{seed}.png", draw_part("bracket", seed=seed, size=128).pixels)
    shutil.copy(folder / "normals" / "0.png", folder / "normals" / "copy.png")
    save_image(folder / "normals" / "shift b" / "board.png", draw_part("board", seed=1, size=128).pixels)
    (folder / "normals" / "broken.png").write_bytes(b"\x89PNG nothing")
    (folder / "normals" / "note.txt").write_text("no picture")
    for seed, defect in enumerate(("scratch", "stain", "scratch"), 10):
        save_image(folder / "defects" / f"{seed}.png", draw_part("bracket", defect, seed=seed, size=128).pixels)
    return folder


TICKS: list[str] = []


@pytest.fixture(scope="module")
def enrolled(folder: Path) -> Profiles:
    profiles = Profiles(folder / "products")
    normals, defects = survey(folder / "normals", TICKS.append), survey(folder / "defects", TICKS.append)
    enroll(profiles, "bracket", METHOD, Wish(), normals, defects, TICKS.append)
    return profiles


@pytest.fixture
def copied(enrolled: Profiles, tmp_path: Path) -> Profiles:
    return Profiles(Path(shutil.copytree(enrolled.folder, tmp_path / "products")))


def test_copies_and_unreadable_files_are_left_out_and_named(enrolled: Profiles) -> None:
    profile = enrolled.get("bracket")
    assert len(profile.normals) == 7
    assert len({picture.sha256 for picture in profile.normals}) == 7
    told = "\n".join(profile.notices)
    assert "copy.png has the same bytes as 0.png: used once" in told
    assert "left out:" in told
    assert "broken.png" in told
    assert set(TICKS) >= {picture.file for picture in (*profile.normals, *profile.defects)}
    assert enrolled.detector(profile, METHOD).calibration.normals == 7


def test_a_normal_of_another_product_is_warned_of_and_not_kept_as_typical(enrolled: Profiles) -> None:
    profile = enrolled.get("bracket")
    assert any("board.png looks defective or like another product" in notice for notice in profile.notices)
    kept = {picture.file for picture in profile.normals if picture.kept}
    assert len(kept) == KEPT
    assert "board.png" not in kept
    assert all((enrolled.place("bracket") / picture.kept).exists() for picture in profile.normals if picture.kept)
    scores = {picture.file: picture.score for picture in profile.normals}
    assert scores["board.png"] == max(score for score in scores.values() if score is not None)


def test_defects_tell_the_band_for_review_and_the_weight(enrolled: Profiles, folder: Path, tmp_path: Path) -> None:
    profile = enrolled.get("bracket")
    assert len(profile.defects) == 3
    assert profile.review is not None
    assert profile.detector_weight is not None
    assert 0.25 <= profile.detector_weight <= 0.75
    normals = survey(folder / "normals", str)
    alone = enroll(Profiles(tmp_path), "bracket", METHOD, Wish(pose="fixed"), normals, None, str)
    assert (alone.review, alone.detector_weight) == (None, None)


def test_a_folder_without_a_readable_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(b"nothing")
    with pytest.raises(ProfileError, match="no readable picture"):
        survey(tmp_path, str)


def test_a_picture_is_decoded_when_it_is_asked_for_and_told_once(folder: Path) -> None:
    ticks: list[str] = []
    pictures = Pictures(survey(folder / "normals", str).images, ticks.append)
    assert len(pictures) == 7
    assert not ticks
    assert (pictures[0] == pictures[0]).all()
    assert len(ticks) == 1


def test_an_enrolment_killed_at_any_moment_leaves_the_old_profile_usable(copied: Profiles, tmp_path: Path) -> None:
    profiles, old = copied, copied.get("bracket")
    (tmp_path / "fewer").mkdir()
    save_image(tmp_path / "fewer" / "0.png", draw_part("bracket", seed=40, size=128).pixels)
    save_image(tmp_path / "fewer" / "1.png", draw_part("bracket", seed=41, size=128).pixels)
    arguments = ("enroll", "bracket", "--normals", tmp_path / "fewer", "--home", tmp_path)
    command = [sys.executable, "-m", "agent", *map(str, arguments)]
    seen = set[str]()
    for wait in (0.3, 1.2, 1.8, 2.4, 3.0):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(wait)
        process.kill()
        process.wait()
        profile = profiles.get("bracket")
        seen.add(profile.arrays)
        assert profiles.detector(profile, METHOD).calibration.normals in (2, 7)
        assert all((profiles.place("bracket") / name).exists() for name in profile.files)
    assert old.arrays in seen
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert len(profiles.get("bracket").normals) == 2
    assert {path.name for path in profiles.place("bracket").iterdir()} == {
        ".lock",
        "profile.json",
        *profiles.get("bracket").files,
    }


@pytest.mark.parametrize("writes", range(7))
def test_one_killed_between_two_writes_leaves_a_whole_profile(copied: Profiles, folder: Path, writes: int) -> None:
    profiles = copied
    code = f"""
import os, signal, sys
import tools.profiles.store as store
written, write = [], store.write_atomically
def counted(path, content):
    if len(written) == {writes}:
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(path)
    write(path, content)
store.write_atomically = counted
if {writes} == 6:
    store._sweep = lambda place, kept: os.kill(os.getpid(), signal.SIGKILL)
from pathlib import Path
from tests.tools.profiles.test_enroll import METHOD, Wish, enroll, survey
profiles = store.Profiles(Path(sys.argv[2]))
enroll(profiles, "bracket", METHOD, Wish(pose="fixed"), survey(Path(sys.argv[1]), str), None, str)
"""
    arguments = [str(folder / "normals"), str(profiles.folder)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == -signal.SIGKILL
    profile = profiles.get("bracket")
    assert profile.pose == ("fixed" if writes == 6 else "auto")
    assert profiles.detector(profile, METHOD).calibration.normals == 7
    assert os.path.exists(profiles.place("bracket") / profile.files[-1])  # noqa: PTH110
