"""Product profiles: what is known of a product's good parts, fitted once and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tools.detectors import Calibration, Pose

LONGEST_NAME = 100


class ProfileError(Exception):
    """A profile cannot be used, written or read: what, why and the remedy in one line."""

    def __init__(self, what: str | Path, cause: str, remedy: str) -> None:
        super().__init__(f"{what}: {cause}; {remedy}")


class Picture(BaseModel):
    """A picture that a profile was made from: its file's name and sha256, and the score that the others gave it.

    `score` is in units of the detector's limit, None where the picture was not judged; `kept` names the copy inside the
    profile that comparisons use.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    sha256: str
    score: float | None = None
    kept: str | None = None


class Knowledge(BaseModel):
    """An expert's entry that came with the product: the name of its file and its Markdown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(pattern=r"^[\w-]+\.md$")
    text: str


class Profile(BaseModel):
    """A product's detector with its normal range, and how it came about.

    `detector` and `backbone` are what was asked for, `made_with` names method, version and weights. Where defects were
    given, `review` are the probabilities of the lowest of them and of the highest normals, between which a person looks
    too, and `detector_weight` (0-1) is the detector's share of the fused probability. `mm_per_pixel` is the scale of
    the pictures. `settings` and the arrays in the file `arrays` are the fitted detector.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["flawlens product 1"] = "flawlens product 1"
    name: str
    detector: str
    backbone: str
    made_with: str
    flawlens: str
    created: str
    pose: Pose
    mm_per_pixel: float | None = Field(default=None, gt=0)
    review: tuple[float, float] | None
    detector_weight: float | None = Field(ge=0, le=1)
    normals: list[Picture]
    defects: list[Picture]
    notices: list[str]
    settings: dict[str, Any]
    arrays: str
    knowledge: Knowledge | None = None

    @field_validator("name")
    @classmethod
    def _usable(cls, name: str) -> str:
        return checked_name(name)

    @property
    def calibration(self) -> Calibration:
        """The normal range; KeyError or TypeError when the settings hold none."""
        return Calibration.of(self.settings)

    @property
    def files(self) -> list[str]:
        """The files beside the profile that belong to it."""
        return [self.arrays, *(picture.kept for picture in self.normals if picture.kept)]


def checked_name(name: str) -> str:
    """The product's name itself; ValueError for one that no folder can have."""
    plain = name.replace("_", "").replace("-", "").replace(" ", "").replace(".", "")
    if not plain.isalnum() or name != name.strip(" .") or len(name.encode()) > LONGEST_NAME:
        raise ValueError(
            f"{name!r} cannot name a product: letters, digits, spaces, dots, - and _, {LONGEST_NAME} bytes at most"
        )
    return name
