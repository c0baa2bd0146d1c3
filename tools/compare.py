"""Tool `compare_with_reference`: a good part laid over the part, and what differs."""

from __future__ import annotations

from langchain_core.tools import BaseTool, tool
from pydantic import BaseModel, Field

from tools.album import Album
from tools.comparison import Comparison, compare
from tools.drawing import heat_in_limits
from tools.evidence import Evidence, Region, ToolError
from tools.image import Box

MOST_REGIONS = 8


class CompareArguments(BaseModel):
    """Which reference to lay over the part."""

    reference: str = Field(default="reference_1", description="id of a good reference: reference_1, reference_2, ...")


def make_compare(album: Album) -> BaseTool:
    """The tool over this run's part and references."""

    @tool(args_schema=CompareArguments, response_format="content_and_artifact")
    def compare_with_reference(reference: str = "reference_1") -> tuple[str, Evidence]:
        """Lay a good reference over the part (shift, turn, scale, then local), even out the light, report differences.

        Best for parts that always look the same (boards, prints, assemblies): missing, extra, displaced and wrong
        things. Regions have a score in units of what noise and registration explain; 1.0 is the edge. When the
        reference does not fit the tool says why and reports nothing: that is no sign of a defect.
        """
        if not reference.startswith("reference_"):
            known = ", ".join(name for name in album.views if name.startswith("reference_")) or "none were given"
            raise ToolError(f"{reference!r} is not a reference; the references are: {known}")
        chosen = album.view(reference).original.pixels
        others = [pixels for pixels in album.references if pixels is not chosen]
        evidence = _evidence(album, reference, compare(album.part, chosen, others))
        return evidence.finding, evidence

    return compare_with_reference


def _evidence(album: Album, reference: str, found: Comparison) -> Evidence:
    fit = found.fit
    if fit.refused:
        finding = f"{reference} cannot be laid over the part: {fit.refused}. No statement about defects."
        return Evidence(tool="compare_with_reference", finding=finding, numbers={"refused": fit.refused})
    height, width = album.part.shape[:2]
    places = [
        Region(
            box=Box.from_pixels(*place.box, height=height, width=width),
            score=round(place.peak, 3),
            numbers={"area_px": float(place.area_px), "brightness_change": round(place.brightness_change, 1)},
        )
        for place in found.regions[:MOST_REGIONS]
    ]
    numbers: dict[str, float | str] = {
        "shift_x_px": round(fit.shift_px[0], 1),
        "shift_y_px": round(fit.shift_px[1], 1),
        "angle_deg": round(fit.angle_deg, 2),
        "scale": round(fit.scale, 3),
        "overlap": round(fit.overlap, 3),
        "similarity": round(fit.similarity, 3),
        "differences": float(len(found.regions)),
    }
    return Evidence(
        tool="compare_with_reference",
        finding=_finding(reference, numbers, places, len(found.regions)),
        above_normal=bool(places),
        regions=places,
        numbers=numbers,
        files=[album.save("comparison", heat_in_limits(album.part, found.difference, places))],
    )


def _finding(reference: str, numbers: dict[str, float | str], places: list[Region], count: int) -> str:
    laid = (
        f"{reference} laid over the part (shift {numbers['shift_x_px']}, {numbers['shift_y_px']} px,"
        f" angle {numbers['angle_deg']} degrees, scale {numbers['scale']}, overlap {numbers['overlap']})"
    )
    if not places:
        return f"{laid}: no difference above the normal range."
    listed = "; ".join(
        f"box {[round(edge) for edge in place.box]} at {place.score:.2f} times the limit" for place in places
    )
    return f"{laid}: {count} {'difference' if count == 1 else 'differences'}: {listed}."
