"""Template comparison on DeepPCB: boxes found, extra regions, false alarms. `python -m evals.deeppcb --data FOLDER`.

Tang et al., On-line PCB Defect Detector on a New PCB Defect Dataset, 2019: each tested board has its own template.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from tools.comparison import compare
from tools.image import list_images, load_image
from tools.pixels import Pixels

Rectangle = tuple[float, float, float, float]


def boxes(path: Path) -> list[Rectangle]:
    """The boxes of an annotation file: one `x1 y1 x2 y2 type` a line, in pixels."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d, *_ in (line.split() for line in lines if line)]


def touch(one: Rectangle, other: Rectangle) -> bool:
    """Whether two pixel rectangles overlap at all."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def found(folder: Path, stem: str) -> tuple[int, int, int]:
    """Boxes found, boxes there are, and regions on no box, for the pair `stem`."""
    part = load_image(folder / "test" / "mixed" / f"{stem}_test.jpg").pixels
    template = load_image(folder / "templates" / f"{stem}_temp.jpg").pixels
    regions: list[Rectangle] = [region.box for region in compare(part, template).regions]
    truth = boxes(folder / "annotations" / f"{stem}.txt")
    hit = sum(any(touch(box, region) for region in regions) for box in truth)
    return hit, len(truth), sum(not any(touch(box, region) for box in truth) for region in regions)


def photographed_again(board: Pixels, random: np.random.Generator) -> Pixels:
    """The same board shifted by up to 6 px, turned by up to 2 degrees, 20 % darker and recompressed."""
    height, width = board.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), random.uniform(-2, 2), 1)
    matrix = np.asarray(matrix + np.array([[0, 0, random.uniform(-6, 6)], [0, 0, random.uniform(-6, 6)]]))
    moved = cv2.warpAffine(board, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    _, packed = cv2.imencode(".jpg", np.asarray(moved * 0.8, np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


def measure(folder: Path, seeds: int) -> dict[str, float]:
    """All numbers of the DeepPCB measure."""
    stems = [path.name.removesuffix("_test.jpg") for path in list_images(folder / "test" / "mixed")[0]]
    pairs = [found(folder, stem) for stem in stems]
    goods = [load_image(path).pixels for path in list_images(folder / "test" / "good")[0]]
    alarms, refused = [], 0
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        results = [compare(photographed_again(board, random), board) for board in goods]
        alarms.append(sum(len(result.regions) for result in results))
        refused += sum(bool(result.fit.refused) for result in results)
    return {
        "pairs": len(pairs),
        "boxes": sum(there for _, there, _ in pairs),
        "found_percent": round(100 * sum(hit for hit, _, _ in pairs) / sum(there for _, there, _ in pairs), 1),
        "most_extra_regions_a_pair": max(extra for _, _, extra in pairs),
        "extra_regions": sum(extra for _, _, extra in pairs),
        "good_boards": len(goods),
        "false_alarms_worst_seed": max(alarms),
        "false_alarms_mean": round(float(np.mean(alarms)), 2),
        "good_boards_refused": refused,
    }


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds deeppcb/.")],
    seeds: Annotated[int, typer.Option(help="Draws of the moved copies.", min=1)] = 3,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Print the measure."""
    numbers = measure(data / "deeppcb", seeds)
    print(json.dumps(numbers, indent=2) if as_json else "\n".join(f"{key}: {value}" for key, value in numbers.items()))


if __name__ == "__main__":
    typer.run(main)
