"""Tool `find_similar_normals`: which good reference looks most like the part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from langchain_core.tools import BaseTool, tool

from tools.album import Album
from tools.detectors import Pixels
from tools.detectors.features import OnnxBackbone, patches
from tools.evidence import Evidence, ToolError

SIZE = 128  # pixels a side: pose, product and light, not the defect


def make_find_similar_normals(album: Album) -> BaseTool:
    """The tool over this run's part and references."""

    @tool(response_format="content_and_artifact")
    def find_similar_normals() -> tuple[str, Evidence]:
        """Rank the good references by how much they look like the part in product, pose and light.

        Use it when there are several references, before compare_with_reference: the most similar one shows the fewest
        differences that mean nothing. Similarities go from -1 to 1 and rank only; they say nothing about defects.
        """
        references = album.references
        if not references:
            raise ToolError("no reference was given, so none is similar")
        ranked = ranking(album.part, references)
        listed = ", ".join(f"reference_{index + 1} {value:.3f}" for index, value in ranked)
        finding = f"The references by similarity to the part, most similar first: {listed}."
        numbers: dict[str, float | str] = {f"reference_{index + 1}": round(value, 4) for index, value in ranked}
        return finding, Evidence(tool="find_similar_normals", finding=finding, numbers=numbers)

    return find_similar_normals


def ranking(part: Pixels, references: Sequence[Pixels]) -> list[tuple[int, float]]:
    """Index and cosine similarity of each reference, the most similar first; patches are compared place by place."""
    grids = patches([part, *references], OnnxBackbone(), SIZE)
    flat = (grids - grids.mean(axis=(0, 1, 2))).reshape(len(grids), -1)
    unit = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    values = unit[1:] @ unit[0]
    return [(int(index), float(values[index])) for index in np.argsort(-values, kind="stable")]
