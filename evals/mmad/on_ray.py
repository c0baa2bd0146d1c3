"""The same questions on a Ray cluster: actors that load a model once; Ray restarts those that die and asks again."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evals.dataset import DatasetError
from evals.mmad.answers import AnsweredImage
from evals.mmad.data import MmadImage
from evals.mmad.run import Asker, Settings

ATTEMPTS = 3  # more at a picture whose worker died under it
HERE = "local"


def answers_on_ray(
    images: Sequence[MmadImage], settings: Settings, home: Path, *, workers: int, address: str, api_key: str | None
) -> Iterator[AnsweredImage]:
    """The answers as they come from `workers` actors of the cluster at `address`; "local" starts one on this machine.

    Data and `home` lie where every node sees them under the same path. DatasetError when there is no such cluster.
    """
    try:
        import ray
        from ray.util import ActorPool
    except ImportError as error:
        raise DatasetError(home, "Ray is not installed", "pip install 'flawlens[ray]'") from error
    here: dict[str, Any] = {"_node_ip_address": "127.0.0.1", "include_dashboard": False} if address == HERE else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **here)
    except (ConnectionError, ValueError) as error:
        raise DatasetError(home, f"no Ray cluster at {address}", "name one with --address, or local") from error
    try:
        actor = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=ATTEMPTS)(Asker)
        pool = ActorPool([actor.remote(settings, home.resolve(), api_key) for _ in range(workers)])
        yield from pool.map_unordered(lambda asker, image: asker.ask.remote(image), list(images))
    finally:
        ray.shutdown()
