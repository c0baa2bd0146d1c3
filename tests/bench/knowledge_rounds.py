"""Kill -9 while documents are added, and two processes that add at once: nothing that was reported may be lost.

python -m tests.bench.knowledge_rounds --rounds 50
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from knowledge_base.embed_entries import embed_entries

DOCUMENTS = 12
ADD = """
import sys
from pathlib import Path
from knowledge_base.store import KnowledgeBase
known = KnowledgeBase(Path(sys.argv[1]), shipped=Path(sys.argv[2]))
known.add(Path(sys.argv[3]), told=lambda file, state: print(file.name, flush=True))
"""
FIND = """
import sys
from pathlib import Path
from knowledge_base.store import KnowledgeBase
known = KnowledgeBase(Path(sys.argv[1]), shipped=Path(sys.argv[2]))
kept = {record.name: known.passages_of(record.key)[0].text for record in known.documents()}
for name, text in kept.items():
    if known.search(text)[0].source == name:
        print(name)
"""


def write_documents(folder: Path, mark: str) -> None:
    """Documents of one sentence each, none like another."""
    folder.mkdir()
    for number in range(DOCUMENTS):
        random.seed(f"{mark} {number}")
        codes = " ".join(f"{random.choice('ABCDEFGH')}{random.randrange(1000)}" for _ in range(4))
        (folder / f"{mark}-{number}.txt").write_text(f"Station {mark} {number} replaces the seals {codes} every week.")


def start(code: str, *arguments: Path) -> subprocess.Popen[str]:
    """A process of its own, whose output can be read."""
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def lines(process: subprocess.Popen[str]) -> set[str]:
    """What a process printed, after its end."""
    return set(process.communicate(timeout=300)[0].split())


def killed_round(folder: Path, shipped: Path, draw: random.Random) -> tuple[int, set[str]]:
    """Kills an add at some moment; how many documents it had reported, and which of them are lost."""
    write_documents(folder / "plant", "kill")
    adding = start(ADD, folder / "home", shipped, folder / "plant")
    assert adding.stdout is not None
    heard = {adding.stdout.readline().strip() for _ in range(draw.randrange(DOCUMENTS + 1))}
    time.sleep(draw.uniform(0, 0.3))
    adding.send_signal(signal.SIGKILL)
    reported = heard | lines(adding)
    lost = reported - lines(start(FIND, folder / "home", shipped))
    again = start(ADD, folder / "home", shipped, folder / "plant")
    assert len(lines(again)) == DOCUMENTS
    found = lines(start(FIND, folder / "home", shipped))
    return len(reported), lost if len(found) == DOCUMENTS else {*lost, "after resuming"}


def shared_round(folder: Path, shipped: Path) -> tuple[int, set[str]]:
    """Two processes add at once while a third searches; how many documents they reported, and which are lost."""
    for mark in ("left", "right"):
        write_documents(folder / mark, mark)
    running = [start(ADD, folder / "home", shipped, folder / mark) for mark in ("left", "right")]
    reading = start(FIND, folder / "home", shipped)
    reported = lines(running[0]) | lines(running[1])
    assert reading.wait(300) == 0
    return len(reported), reported - lines(start(FIND, folder / "home", shipped))


def main(rounds: Annotated[int, typer.Option(help="Of each kind.")] = 50, seed: int = 0) -> None:
    """Print what was reported and lost."""
    draw = random.Random(seed)
    for kind in ("killed", "shared"):
        reported, lost = [], []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                (folder / "shipped").mkdir()
                embed_entries(folder / "shipped")
                if kind == "killed":
                    count, gone = killed_round(folder, folder / "shipped", draw)
                else:
                    count, gone = shared_round(folder, folder / "shipped")
            reported.append(count)
            lost += gone
        print(f"{kind}: {rounds} rounds, reported {sorted(reported)}, lost {lost or 'nothing'}", flush=True)


if __name__ == "__main__":
    typer.run(main)
