"""A home with runs, and the viewer of it on a real socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from agent.diagnosis import Inspection
from agent.inspector import Inspector
from agent.planners import make_planner
from agent.viewer.app import make_app
from agent.viewer.guard import listening
from evals.example_parts import draw_part
from tools.image import save_image

TOKEN = "a-token"


@dataclass(frozen=True)
class Viewer:
    home: Path
    port: int
    ids: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{TOKEN}"


def run_ids(home: Path, folder: Path) -> dict[str, str]:
    """Inspects a scratched part with one and with two good ones, and a good part of a product with a bad name."""
    for seed in (1, 2):
        save_image(folder / f"good_{seed}.png", draw_part("bracket", seed=seed, size=256).pixels)
    save_image(folder / "scratched.png", draw_part("bracket", "scratch", seed=9, size=512).pixels)
    good = tuple(folder / f"good_{seed}.png" for seed in (1, 2))
    inspector = Inspector(home, make_planner("rules"), "rules")
    asked = {
        "scratched": Inspection(folder / "scratched.png", good[:1], "bracket"),
        "again": Inspection(folder / "scratched.png", good, "bracket"),
        "good": Inspection(good[1], good[:1], "<img src=x onerror=window.hacked=1>"),
    }
    return {name: inspector.inspect(inspection).id for name, inspection in asked.items()}


@pytest.fixture(scope="session")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    home = tmp_path_factory.mktemp("home")
    ids = run_ids(home, tmp_path_factory.mktemp("pictures"))
    listener = listening(0)
    port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(make_app(home, TOKEN, port), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Viewer(home, port, ids)
    server.should_exit = True
    thread.join(10)
    listener.close()
