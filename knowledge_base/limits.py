"""Limits in the front matter of an entry: from which size or number on a defect is judged otherwise."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Measure = Literal["length_mm", "width_mm", "area_mm2", "length_px", "width_px", "area_px", "area_percent", "count"]
_UNITS: Final = {"mm": "mm", "mm2": "mm²", "px": "px", "percent": "% of the picture"}
Edge = Annotated[float, Field(ge=0, le=1000)]


class Limit(BaseModel):
    """One criterion: a mark whose `measure` is over `over` is of this severity and gets this disposition.

    `zone` is [x0, y0, x1, y1] in thousandths of the picture and limits it to marks whose middle lies there; `place` is
    what people call that zone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    measure: Measure
    over: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    severity: Literal["minor", "major", "critical"] | None = None
    disposition: Literal["accept", "rework", "repair", "scrap", "hold"] | None = None
    zone: tuple[Edge, Edge, Edge, Edge] | None = None
    place: Annotated[str, Field(max_length=80, pattern=r"^[^\n]+$")] | None = None

    @model_validator(mode="after")
    def _decides(self) -> Limit:
        if self.severity is None and self.disposition is None:
            raise ValueError("a limit needs a severity or a disposition")
        if self.zone and not (self.zone[0] < self.zone[2] and self.zone[1] < self.zone[3]):
            raise ValueError("a zone is [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
        return self

    def words(self) -> str:
        """The limit in words, such as "length over 5 mm on the sealing face: scrap"."""
        name, _, unit = self.measure.partition("_")
        place = f" on the {self.place}" if self.place else " in its zone" if self.zone else ""
        asked = ", ".join(filter(None, (self.severity, self.disposition)))
        return f"{name} over {self.over:g} {_UNITS.get(unit, '')}".rstrip() + f"{place}: {asked}"
