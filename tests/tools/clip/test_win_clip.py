"""The prompt ensemble: windows, sentences, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tools.clip.conftest import SMALL
from tools.detectors.clip.weights import load_clip
from tools.detectors.clip.win_clip import GRID, WinClip, _places, _together, win_clip
from tools.detectors.features import BackboneError
from tools.detectors.methods import make_method


def test_every_cell_is_seen_by_windows_of_every_size() -> None:
    places = list(_places())
    assert len(places) == 9 + 25
    for side in (6, 4):
        seen = np.zeros((GRID, GRID), int)
        for row, column, its_side in places:
            if its_side == side:
                seen[row : row + side, column : column + side] += 1
        assert (seen > 0).all()


def test_a_hot_window_is_hottest_where_its_sizes_agree() -> None:
    places = list(_places())
    chances = np.full(1 + len(places), 0.1, np.float32)
    for index, (row, column, side) in enumerate(places, start=1):
        if row + side > 10 and column < 2:
            chances[index] = 0.9
    found = _together(places, chances)
    row, column = np.unravel_index(int(found.argmax()), found.shape)
    assert (row >= 9, column < 3) == (True, True)
    assert found.min() == pytest.approx(0.1, abs=1e-6)
    assert _together(places, np.full_like(chances, 0.3)) == pytest.approx(np.full((GRID, GRID), 0.3), abs=1e-6)


def test_a_picture_is_read_in_its_own_size_and_sentences_are_kept_by_product(small: Path) -> None:
    method = win_clip(SMALL, small, device="cpu")
    reader = method.reader
    assert isinstance(reader, WinClip)
    assert reader.known("metal_nut") is reader.known("metal_nut")
    assert not np.allclose(reader.known("metal_nut"), reader.known("carpet"))
    assert np.linalg.norm(reader.known(None), axis=1) == pytest.approx([1, 1])
    random = np.random.default_rng(0)
    for shape in ((1, 1), (3, 200), (75, 100)):
        found = method.fit([], product="carpet").score(random.integers(0, 255, (*shape, 3), np.uint8))
        assert found.scores.shape == shape
        assert 0 <= found.image_score <= 1
    goods = [random.integers(0, 255, (60, 60, 3), np.uint8) for _ in range(2)]
    assert not any(method.fit(goods).score(good).above_normal for good in goods)


def test_weights_are_never_downloaded(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BackboneError, match="hf download timm/vit_base_patch16_plus_clip_240"):
        make_method("winclip", device="cpu")
    with pytest.raises(BackboneError, match="open_clip knows no model"):
        make_method("winclip:ViT-nothing", device="cpu")
    assert load_clip(SMALL, small, "cpu").name.startswith(SMALL)
    assert make_method(f"winclip:{SMALL}@{small}", device="cpu").name.startswith("WinCLIP-style")
