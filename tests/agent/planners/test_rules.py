"""What the embedded planner takes for suspicious."""

from __future__ import annotations

from agent.planners.rules import suspicious
from tools.evidence import Evidence, Region
from tools.image import Box


def above(name: str, tool: str, *boxes: tuple[float, float, float, float]) -> Evidence:
    places = [Region(box=Box(*box), score=1.5) for box in boxes]
    return Evidence(id=name, tool=tool, finding="", above_normal=True, regions=places)


def boxes(*evidence: Evidence) -> list[tuple[str, tuple[float, ...]]]:
    return [(name, tuple(region.box)) for name, region in suspicious(evidence)]


def test_a_place_of_the_map_is_narrowed_to_the_difference_inside_it() -> None:
    found = above("E1", "anomaly_map", (100, 100, 300, 300), (600, 600, 800, 800))
    differs = above("E2", "compare_with_reference", (150, 150, 200, 160), (900, 0, 950, 50))
    assert boxes(found, differs) == [("E2", (150, 150, 200, 160)), ("E1", (600, 600, 800, 800))]
    assert boxes(differs) == [("E2", (150, 150, 200, 160)), ("E2", (900, 0, 950, 50))]


def test_a_difference_inside_two_places_of_the_map_is_one_suspect() -> None:
    found = above("E1", "anomaly_map", (100, 100, 300, 300), (150, 150, 400, 400))
    differs = above("E2", "compare_with_reference", (200, 200, 220, 220))
    assert boxes(found, differs) == [("E2", (200, 200, 220, 220))]
