from __future__ import annotations

from pathlib import Path

import pytest

from evals.example_parts import draw_part
from tools.image import save_image


@pytest.fixture(scope="session")
def doubtful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with good.png and part.png, whose faint scratch leaves the embedded planner uncertain."""
    folder = tmp_path_factory.mktemp("doubtful")
    save_image(folder / "good.png", draw_part("bracket", seed=1, size=256).pixels)
    save_image(folder / "part.png", draw_part("bracket", "scratch", seed=14, size=256).pixels)
    return folder
