"""Tool `anomaly_map`: where the part leaves the normal range of its product."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from langchain_core.tools import BaseTool, tool

from tools.album import Album
from tools.detectors import AnomalyMap, Detector, Pixels
from tools.evidence import Evidence, Notation, Region
from tools.foreground import part_mask
from tools.image import Box
from tools.notation import caveat, drawn

MOST_REGIONS = 5
SMALLEST_REGION = 0.0003  # of the picture's area
COMPARABLE = 0.5  # share of the part beyond the normal range from which on it is rather another product


def regions(found: AnomalyMap) -> list[Region]:
    """Places above the normal range, strongest first: connected, at least 0.03 % of the picture, at most five."""
    limit = found.calibration.pixel_limit
    if not found.above_normal:
        return []
    height, width = found.scores.shape
    count, labels, stats, _ = cv2.connectedComponentsWithStats((found.scores > limit).astype(np.uint8))
    places = []
    for label in range(1, count):
        x, y, w, h, area = (int(value) for value in stats[label])
        peak = float(found.scores[y : y + h, x : x + w][labels[y : y + h, x : x + w] == label].max())
        box = Box.from_pixels(x, y, x + w, y + h, height=height, width=width)
        share = round(100 * area / (height * width), 2)
        places.append(Region(box=box, score=round(peak / limit, 3), numbers={"area_percent": share}))
    places.sort(key=lambda region: -region.score)
    smallest = 100 * SMALLEST_REGION
    return [place for place in places if float(place.numbers["area_percent"]) >= smallest][:MOST_REGIONS] or places[:1]


def share_beyond(found: AnomalyMap, pixels: Pixels) -> float:
    """Share (0-1) of the part, background left out, that lies beyond the normal range."""
    return float((found.scores[part_mask(pixels)] > found.calibration.pixel_limit).mean())


def make_anomaly_map(
    album: Album,
    detector: Callable[[], Detector],
    notation: Notation = "heatmap",
    alone: Callable[[], Detector] | None = None,
) -> BaseTool:
    """The tool over this run's part; `detector` is called at the first use, since fitting takes time.

    `alone` compares a part with itself where the references are of no use.
    """

    @tool(response_format="content_and_artifact")
    def anomaly_map() -> tuple[str, Evidence]:
        """Compare every patch of the part with the product's good references and report what leaves the normal range.

        Use it first. Each region has a box of the part and a score in units of the limit: 1.0 is the edge of the normal
        range, 1.3 is clearly beyond it. "Nothing above the normal range" means that a region would be
        an invention. Without references the map only shows patches unlike the rest of the same picture: weak evidence.
        """
        found = detector().score(album.part)
        if found.calibration.normals and (share := share_beyond(found, album.part)) > COMPARABLE:
            evidence = _not_comparable(found, share, alone().score(album.part) if alone else None)
            return evidence.finding, evidence
        places = regions(found)
        evidence = Evidence(
            tool="anomaly_map",
            finding=_finding(found, places),
            above_normal=found.above_normal,
            regions=places,
            numbers=_numbers(found),
            files=[album.save("anomaly_map", drawn(album.part, found, places, notation))] if places else [],
        )
        return f"{evidence.finding} {caveat(found, notation)}" if places else evidence.finding, evidence

    return anomaly_map


def _not_comparable(found: AnomalyMap, share: float, itself: AnomalyMap | None) -> Evidence:
    why = f"{share:.0%} of the part lies beyond the normal range of the references: another product, view or light"
    finding = f"The references are not comparable with the part: {why}. No statement about defects."
    numbers: dict[str, float | str] = {"refused": why, "limit": round(found.calibration.limit, 3)}
    if itself is not None:
        numbers["unlike_itself"] = round(itself.probability, 4)
        seen = "has places unlike the rest of it" if itself.above_normal else "is like itself everywhere"
        finding += f" Without them, the part {seen}: weak evidence."
    return Evidence(tool="anomaly_map", finding=finding, numbers=numbers)


def _numbers(found: AnomalyMap) -> dict[str, float | str]:
    range_ = found.calibration
    height, width = found.scores.shape
    y, x = np.unravel_index(int(found.scores.argmax()), found.scores.shape)
    return {
        # where to look when a person says that there is a defect; never a finding of its own
        "hottest_x": round(1000 * (float(x) + 0.5) / width, 1),
        "hottest_y": round(1000 * (float(y) + 0.5) / height, 1),
        "image_score": round(found.image_score, 3),
        "limit": round(range_.limit, 3),
        "probability": round(found.probability, 4),
        "references": float(range_.normals),
        "detector": found.detector,
        "normal_range_from": range_.method,
    }


def _finding(found: AnomalyMap, places: list[Region]) -> str:
    if found.words:
        return f"{_marks(places)} {found.words}"
    range_ = found.calibration
    source = f"{found.detector}; normal range from {range_.method}"
    strength = "" if range_.normals else " Weaker evidence: no reference was given."
    ratio = found.image_score / range_.limit
    if not places and found.above_normal:
        return f"The whole picture lies at {ratio:.2f} times the limit, but no place stands out ({source}).{strength}"
    if not places:
        return f"Nothing above the normal range: peak {ratio:.2f} of the limit ({source}).{strength}"
    listed = "; ".join(
        f"box {[round(edge) for edge in place.box]} at {place.score:.2f} times the limit,"
        f" {place.numbers['area_percent']} % of the picture"
        for place in places
    )
    plural = "regions" if len(places) > 1 else "region"
    return f"{len(places)} {plural} above the normal range: {listed} ({source}).{strength}"


def _marks(places: list[Region]) -> str:
    """The places of a map that was given: their scores mean nothing."""
    if not places:
        return "No place is marked."
    listed = "; ".join(
        f"box {[round(edge) for edge in place.box]}, {place.numbers['area_percent']} % of the picture"
        for place in places
    )
    return f"{len(places)} marked {'places' if len(places) > 1 else 'place'}: {listed}."
