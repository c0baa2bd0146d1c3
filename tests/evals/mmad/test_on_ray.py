"""The questions on a Ray cluster of this machine, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.__main__ import app
from evals.mmad.answers import ANSWERS
from tests.evals.mmad.test_run import arguments, count, letters, run

SAMPLE = ["--sample", "6", "--seed", "5"]


def workers_of(driver: int) -> list[int]:
    """Processes of the askers that this driver's own cluster runs."""
    import psutil

    children = psutil.Process(driver).children(recursive=True)
    return [child.pid for child in children if "Asker" in " ".join(child.cmdline())]


@pytest.mark.timeout(300)
def test_two_workers_of_which_one_is_killed_give_the_answers_of_one(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "ray"
    more = [*SAMPLE, "--runner", "ray", "--address", "local", "--workers", "2"]
    command = [sys.executable, "-m", "agent", *arguments(data, out, *more)]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        killed = False
        deadline = time.monotonic() + 240
        while process.poll() is None and time.monotonic() < deadline:
            if not killed and count(out) >= 1 and (found := workers_of(process.pid)):
                os.kill(found[0], signal.SIGKILL)
                killed = True
            time.sleep(0.1)
        said = process.stdout.read() if process.stdout else b""
    assert process.returncode == 0, said.decode()
    assert killed
    run(data, tmp_path / "one", *SAMPLE)
    assert letters(out) == letters(tmp_path / "one")
    assert len((out / ANSWERS).read_bytes().splitlines()) == 6


def test_a_cluster_that_is_not_there_is_one_line(data: Path, tmp_path: Path) -> None:
    more = [*SAMPLE, "--runner", "ray", "--address", "nowhere"]
    done = CliRunner().invoke(app, arguments(data, tmp_path / "out", *more))
    assert "no Ray cluster at nowhere" in str(done.exception)
