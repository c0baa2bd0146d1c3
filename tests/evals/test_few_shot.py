"""The few-shot figures on drawn parts, whose right answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evals.dataset import read_product
from evals.example_parts import draw_part
from evals.few_shot import main, measure
from tools.detectors.features import OnnxBackbone
from tools.image import ImageError, save_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product `bracket` of nine small pictures, one of them in the folder `uncertain`."""
    root = tmp_path_factory.mktemp("data")
    kinds = [("train/good", "good")] * 4 + [("test/good", "good")] * 2 + [("test/stain", "stain")] * 2
    for seed, (place, defect) in enumerate([*kinds, ("test/uncertain", "stain")]):
        part = draw_part("bracket", defect, seed=seed, size=256)
        (root / "bracket" / place).mkdir(parents=True, exist_ok=True)
        save_image(root / "bracket" / place / f"{seed}.png", part.pixels)
        if place == "test/stain":
            (root / "bracket/ground_truth/stain").mkdir(parents=True, exist_ok=True)
            save_image(root / f"bracket/ground_truth/stain/{seed}_mask.png", part.mask * np.uint8(255))
    return root


def test_stains_are_ranked_above_good_parts_and_found_in_their_place(folder: Path) -> None:
    result = measure(read_product(folder / "bracket"), 4, OnnxBackbone())
    assert (result.product, result.references) == ("bracket", 4)
    assert (result.image_auroc, result.false_alarms, result.recall) == (1, 0, 1)
    assert result.pixel_auroc is not None
    assert result.pixel_auroc > 0.95


def test_parts_on_which_the_experts_disagree_are_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    product = read_product(folder / "bracket")
    (unsure,) = (sample for sample in product.test if sample.defect == "uncertain")
    unsure.path.write_bytes(b"not a picture any more")
    assert measure(product, 1, OnnxBackbone()).image_auroc == 1
    monkeypatch.setattr("evals.few_shot.UNSURE", "another name")
    with pytest.raises(ImageError):
        measure(product, 1, OnnxBackbone())


def test_the_table_names_every_number_of_references(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(folder, "bracket", "1,all", "onnx", "auto", False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["bracket", "1"], ["mean", "1"], ["bracket", "4"], ["mean", "all"]]
