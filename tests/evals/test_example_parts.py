"""The drawn parts: repeatable, individual, and defective exactly where their masks say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evals.dataset import load_mask, read_product
from evals.example_parts import PRODUCTS, draw_part, write_examples
from tools.image import load_image

DEFECTS = [(product, defect) for product, defects in PRODUCTS.items() for defect in defects]


def test_every_product_has_three_kinds_of_defect() -> None:
    assert all(len(set(defects)) >= 3 for defects in PRODUCTS.values())


@pytest.mark.parametrize(("product", "defect"), DEFECTS)
def test_a_defective_part_differs_from_its_good_twin_inside_the_mask_only(product: str, defect: str) -> None:
    good, flawed = draw_part(product, size=256), draw_part(product, defect, size=256)
    differs = (good.pixels != flawed.pixels).any(axis=2)
    assert not (differs & ~flawed.mask).any()
    assert (differs & flawed.mask).sum() > 0.7 * flawed.mask.sum()
    assert 0.0005 < flawed.mask.mean() < 0.05
    assert np.abs(good.pixels.astype(int) - flawed.pixels).max() > 40


@pytest.mark.parametrize("product", PRODUCTS)
def test_good_parts_have_empty_masks(product: str) -> None:
    part = draw_part(product, size=64)
    assert part.pixels.shape == (64, 64, 3)
    assert part.pixels.dtype == np.uint8
    assert part.mask.shape == (64, 64)
    assert not part.mask.any()


def test_equal_seeds_give_equal_pixels_and_others_do_not() -> None:
    first, again = (draw_part("board", "scratch", seed=3, size=128) for _ in range(2))
    other = draw_part("board", "scratch", seed=4, size=128)
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.mask, other.mask)


def test_good_parts_of_one_product_differ_in_pose_but_not_in_kind() -> None:
    first, second = (draw_part("gasket", seed=seed, size=128).pixels.astype(int) for seed in (0, 1))
    rubber = [(pixels.mean(axis=2) < 80).mean() for pixels in (first, second)]
    assert np.abs(first - second).max() > 100
    assert rubber[0] == pytest.approx(rubber[1], rel=0.1)


@pytest.mark.parametrize("size", [32, 33, 251, 800])
def test_any_size_from_32_shows_the_defect(size: int) -> None:
    part = draw_part("bracket", "scratch", size=size)
    assert part.pixels.shape == (size, size, 3)
    assert part.mask.any()


@pytest.mark.parametrize(("product", "defect"), [("bracket", "cut"), ("wheel", "good"), ("board", "")])
def test_unknown_parts_are_refused_with_the_known_ones(product: str, defect: str) -> None:
    with pytest.raises(ValueError, match="missing_hole"):
        draw_part(product, defect)


def test_too_small_a_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="31 pixels"):
        draw_part("bracket", size=31)


def test_written_examples_are_whole_products_in_mvtec_layout(tmp_path: Path) -> None:
    written = write_examples(tmp_path, good=1)
    assert sorted(written) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len({load_image(path).sha256 for path in written}) == len(written)
    for name, defects in PRODUCTS.items():
        product = read_product(tmp_path / name)
        assert product.problems == ()
        assert len(product.train) == 1
        assert [sample.defect for sample in product.test] == sorted(["good", *defects])
        for sample in product.test:
            if sample.defective:
                image = load_image(sample.path)
                mask = load_mask(sample.masks, height=image.height, width=image.width)
                assert 0 < mask.pixels.mean() < 0.05
                assert not any("empty" in note for note in mask.notes)
    good, scratched = (load_image(tmp_path / name) for name in ("good.png", "scratched.png"))
    assert (good.pixels != scratched.pixels).any(axis=2).mean() > 0.5
