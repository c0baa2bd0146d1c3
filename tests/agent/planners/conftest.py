"""Tiny checkpoints, written once a session."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

Checkpoints = Callable[[str], Path]


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    """Folder of the tiny checkpoint of a family: qwen2_vl, qwen2_5_vl or qwen3_vl. Shared, so copy before a change."""

    @cache
    def checkpoint(family: str) -> Path:
        from tests.agent.planners.tiny_qwen import tiny_checkpoint

        return tiny_checkpoint(tmp_path_factory.mktemp("checkpoints") / family, family)

    return checkpoint
