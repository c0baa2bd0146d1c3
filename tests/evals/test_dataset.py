"""Reading MVTec-layout folders and masks, over the awkward samples of nasty/ (rows 25-29 of its README)."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from evals.dataset import DatasetError, MaskError, ProductData, load_mask, read_product, result_path

HEIGHT, WIDTH = 190, 275
AGREEING = (
    "one_bit_mask.png",
    "values_0_1_mask.png",
    "class_index_3_mask.png",
    "palette_index_mask.png",
    "rgb_mask.png",
    "rgba_mask.png",
    "sixteen_bit_mask.png",
    "soft_edges_mask.jpg",
)
DOUBTFUL = {
    "all_black_for_defect_mask.png": "empty",
    "all_white_mask.png": "100%",
    "inverted_mask.png": "95%",
}
MISFIT = {"half_size_mask.png": "another size", "width_height_swapped_mask.png": "sides swapped"}
REAL = ("cookie", "magnetic_tile", "mvtec_leather", "mvtec_screw")


@pytest.fixture(scope="session")
def masks(data: Path) -> Path:
    return data / "nasty" / "masks"


@pytest.fixture(scope="session")
def products(data: Path) -> dict[str, ProductData]:
    return {name: read_product(data / name) for name in (*REAL, "toy_alien")}


def save(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def small_product(folder: Path) -> Path:
    """Two good training pictures; dents 000 and 001 with masks, all different."""
    rng = np.random.default_rng(0)
    for name in ("train/good/000.png", "train/good/001.png", "test/good/000.png", "test/dent/000.png"):
        save(folder / name, rng.integers(0, 255, (20, 30, 3), np.uint8))
    save(folder / "test/dent/001.png", rng.integers(0, 255, (20, 30, 3), np.uint8))
    for number in range(2):
        mask = np.zeros((20, 30), np.uint8)
        mask[5 : 10 + number, 5:10] = 255
        save(folder / f"ground_truth/dent/{number:03d}_mask.png", mask)
    return folder


def kinds(product: ProductData) -> list[str]:
    return [problem.kind for problem in product.problems]


def test_every_nasty_mask_is_used_here(masks: Path) -> None:
    files = {path.name for path in masks.iterdir()}
    assert files == {*AGREEING, *DOUBTFUL, *MISFIT, "loco_style"}


@pytest.mark.parametrize("name", AGREEING)
def test_masks_of_any_encoding_agree(masks: Path, name: str) -> None:
    mask = load_mask(masks / name, height=HEIGHT, width=WIDTH)
    expected = load_mask(masks / "one_bit_mask.png", height=HEIGHT, width=WIDTH).pixels
    overlap = (mask.pixels & expected).sum() / (mask.pixels | expected).sum()
    assert mask.pixels.dtype == bool
    assert overlap > (0.99 if name.endswith(".jpg") else 0.9999)
    assert not any("empty" in note or "inverted" in note for note in mask.notes)


@pytest.mark.parametrize("name", DOUBTFUL)
def test_doubtful_masks_are_used_as_they_are_and_say_so(masks: Path, name: str) -> None:
    mask = load_mask(masks / name, height=HEIGHT, width=WIDTH)
    assert np.array_equal(mask.pixels, np.asarray(Image.open(masks / name)) > 127)
    assert any(DOUBTFUL[name] in note for note in mask.notes)


@pytest.mark.parametrize("name", MISFIT)
def test_another_size_is_an_error_naming_both_sizes(masks: Path, name: str) -> None:
    with pytest.raises(MaskError, match=MISFIT[name]) as caught:
        load_mask(masks / name, height=HEIGHT, width=WIDTH)
    width, height = Image.open(masks / name).size
    assert f"{width}x{height}" in str(caught.value)
    assert f"{WIDTH}x{HEIGHT}" in str(caught.value)
    assert caught.value.path == masks / name


def test_half_size_is_resized_only_when_allowed(masks: Path) -> None:
    mask = load_mask(masks / "half_size_mask.png", height=HEIGHT, width=WIDTH, allow_resize=True)
    expected = load_mask(masks / "one_bit_mask.png", height=HEIGHT, width=WIDTH).pixels
    assert mask.pixels.shape == (HEIGHT, WIDTH)
    assert (mask.pixels & expected).sum() / (mask.pixels | expected).sum() > 0.9
    assert "resized from 137x95 to 275x190" in mask.notes
    with pytest.raises(MaskError, match="sides swapped"):
        load_mask(masks / "width_height_swapped_mask.png", height=HEIGHT, width=WIDTH, allow_resize=True)
    with pytest.raises(MaskError, match="another shape"):
        load_mask(masks / "half_size_mask.png", height=HEIGHT, width=HEIGHT, allow_resize=True)


def test_several_masks_are_united(masks: Path) -> None:
    parts = sorted((masks / "loco_style" / "000").iterdir())
    union = load_mask(parts, height=HEIGHT, width=WIDTH)
    single = [load_mask(part, height=HEIGHT, width=WIDTH).pixels for part in parts]
    assert len(parts) == 2
    assert np.array_equal(union.pixels, single[0] | single[1])
    assert union.pixels.sum() > max(pixels.sum() for pixels in single)
    with pytest.raises(ValueError, match="no mask"):
        load_mask([], height=HEIGHT, width=WIDTH)


def test_unreadable_masks_say_which_and_why(data: Path, tmp_path: Path) -> None:
    for path in (
        data / "nasty/broken/zero_bytes.png",
        data / "nasty/broken/truncated_half.png",
        tmp_path / "none",
    ):
        with pytest.raises(MaskError) as caught:
            load_mask(path, height=HEIGHT, width=WIDTH)
        assert str(path) in str(caught.value)


def test_low_classes_count_but_low_grey_does_not(tmp_path: Path) -> None:
    classes = np.array([[0, 1, 2, 3]], np.uint8)
    soft = np.array([[0, 2, 127, 255]], np.uint8)
    floating = np.array([[0, np.nan, 0.4, 1]], np.float32)
    for values, expected in ((classes, [0, 1, 1, 1]), (soft, [0, 0, 0, 1]), (floating, [0, 0, 0, 1])):
        path = save(tmp_path / "mask.tif", values)
        assert load_mask(path, height=1, width=4).pixels.tolist() == [[bool(value) for value in expected]]


def test_transparent_pixels_are_background(tmp_path: Path) -> None:
    pixels = np.full((4, 6, 4), (255, 0, 255, 0), np.uint8)
    pixels[1, 2] = (35, 164, 54, 255)
    mask = load_mask(save(tmp_path / "mask.png", pixels), height=4, width=6).pixels
    assert mask.sum() == 1
    assert mask[1, 2]


def test_masks_of_real_products_mark_a_plausible_share(products: dict[str, ProductData]) -> None:
    shares, doubted = [], []
    for sample in (sample for name in REAL for sample in products[name].test if sample.defective):
        with Image.open(sample.path) as picture:
            width, height = picture.size
        mask = load_mask(sample.masks, height=height, width=width)
        shares.append(mask.pixels.mean())
        doubted += [sample.path.name for note in mask.notes if "empty" in note or "inverted" in note]
    assert len(shares) == 14 + 80 + 5 + 20
    assert doubted == ["exp4_num_45057.jpg"]  # the one black mask of the data set itself
    assert 0 < sorted(shares)[1] < max(shares) < 0.8


def test_magnetic_tile_masks_follow_the_rule_of_its_readme(products: dict[str, ProductData]) -> None:
    for sample in products["magnetic_tile"].test:
        for path in sample.masks:
            levels = np.asarray(Image.open(path))
            mask = load_mask(path, height=levels.shape[0], width=levels.shape[1])
            assert np.array_equal(mask.pixels, levels > 127), path


@pytest.mark.parametrize(
    ("name", "train", "good", "defective"),
    [
        ("cookie", 16, 8, 14),
        ("magnetic_tile", 40, 25, 80),
        ("mvtec_leather", 4, 1, 5),
        ("mvtec_screw", 18, 7, 20),
    ],
)
def test_real_products_are_read_whole(
    products: dict[str, ProductData], name: str, train: int, good: int, defective: int
) -> None:
    product = products[name]
    assert len(product.train) == train
    assert [sample.defective for sample in product.test].count(False) == good
    assert [sample.defective for sample in product.test].count(True) == defective
    for sample in product.test:
        assert sample.defect == sample.path.parent.name
        assert [mask.name for mask in sample.masks] == [f"{sample.path.stem}_mask.png"] * sample.defective
    assert set(kinds(product)) <= {"duplicate"}


def test_every_missing_mask_is_listed(products: dict[str, ProductData]) -> None:
    assert kinds(products["toy_alien"]) == ["no mask"] * 20


def test_a_removed_mask_shifts_no_other(tmp_path: Path) -> None:
    folder = small_product(tmp_path / "part")
    (folder / "ground_truth/dent/000_mask.png").unlink()
    product = read_product(folder)
    first, second, _ = product.test
    assert (first.path.name, first.masks) == ("000.png", ())
    assert second.masks == (folder / "ground_truth/dent/001_mask.png",)
    assert [(problem.kind, problem.where) for problem in product.problems] == [("no mask", str(first.path))]


def test_a_mask_that_two_pictures_could_claim_goes_to_neither(tmp_path: Path) -> None:
    folder = small_product(tmp_path / "part")
    shutil.copy(folder / "test/dent/000.png", folder / "test/dent/000.jpg")
    product = read_product(folder)
    assert [sample.masks for sample in product.test if sample.path.stem == "000" and sample.defective] == [
        (),
        (),
    ]
    assert kinds(product) == ["ambiguous mask"] * 2 + ["duplicate"]


def test_masks_without_a_picture_are_listed(tmp_path: Path) -> None:
    folder = small_product(tmp_path / "part")
    (folder / "test/dent/001.png").unlink()
    assert kinds(read_product(folder)) == ["mask without picture"]


def test_a_folder_of_masks_belongs_to_the_picture_of_its_name(masks: Path, tmp_path: Path) -> None:
    folder = small_product(tmp_path / "part")
    shutil.rmtree(folder / "ground_truth/dent")
    shutil.copytree(masks / "loco_style" / "000", folder / "ground_truth/dent/000")
    first, second, _ = read_product(folder).test
    assert [mask.name for mask in first.masks] == ["000.png", "001.png"]
    assert second.masks == ()


def test_the_folder_and_not_a_part_of_a_name_makes_a_picture_good(tmp_path: Path) -> None:
    folder = small_product(tmp_path / "goods")
    (folder / "test/dent").rename(folder / "test/not_good")
    (folder / "ground_truth/dent").rename(folder / "ground_truth/not_good")
    product = read_product(folder)
    assert [(sample.defect, sample.defective) for sample in product.test] == [
        ("good", False),
        ("not_good", True),
        ("not_good", True),
    ]


def test_junk_is_counted_and_bad_pictures_are_listed(data: Path, tmp_path: Path) -> None:
    folder = small_product(tmp_path / "part")
    junk = data / "nasty" / "folder_junk"
    shutil.copytree(junk, folder / "test/good", dirs_exist_ok=True)
    shutil.copy(data / "nasty/broken/truncated_half.png", folder / "test/dent/002.png")
    product = read_product(folder)
    pictures = {"001.jpg", "001.png", "copy_of_001.png"}
    assert product.skipped == len({path.name for path in junk.iterdir()} - pictures) == 5
    assert pictures < {sample.path.name for sample in product.test}
    assert [(problem.kind, Path(problem.where).name) for problem in product.problems] == [
        ("unreadable", "002.png"),
        ("duplicate", "copy_of_001.png"),
    ]


def test_an_unreadable_picture_is_no_sample(data: Path, tmp_path: Path) -> None:
    folder = small_product(tmp_path / "part")
    shutil.copy(data / "nasty/broken/zero_bytes.png", folder / "train/good/001.png")
    product = read_product(folder)
    assert [path.name for path in product.train] == ["000.png"]
    assert kinds(product) == ["unreadable"]


def test_a_folder_of_another_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="neither train/good nor test"):
        read_product(tmp_path)


def test_results_of_equal_names_do_not_meet(data: Path, tmp_path: Path) -> None:
    nasty = data / "nasty"
    pictures = [*(nasty / "same_name").rglob("*.png"), *(nasty / "folder_junk").glob("001.*")]
    results = {result_path(tmp_path, nasty, picture, ".map.png") for picture in pictures}
    assert len(results) == len(pictures) == 4
    assert tmp_path / "same_name/test/crack/000.png.map.png" in results


def test_results_never_leave_the_output_folder(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for outside in (root / ".." / "secret.png", tmp_path / "data2" / "a.png", Path("/etc/passwd"), root):
        with pytest.raises(DatasetError):
            result_path(tmp_path / "out", root, outside, ".png")
    for suffix in ("/../../x.png", "/x.png"):
        with pytest.raises(DatasetError):
            result_path(tmp_path / "out", root, root / "a.png", suffix)
    assert result_path(tmp_path / "out", root, root / "x" / ".." / "a.png", ".png") == tmp_path / "out" / "a.png.png"


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=80)


@given(paths=st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=2, max_size=4, unique_by=tuple))
def test_any_pictures_get_results_of_their_own_inside(paths: list[list[str]]) -> None:
    assume(not any(part in (".", "..") for parts in paths for part in parts))
    root, output = Path("/data"), Path("/out")
    results = [result_path(output, root, root.joinpath(*parts), ".map.png") for parts in paths]
    assert len(set(results)) == len(paths)
    for result, parts in zip(results, paths, strict=True):
        assert result.parent == output.joinpath(*parts[:-1])
        assert ".." not in result.parts
        assert len(result.name.encode()) <= 255
