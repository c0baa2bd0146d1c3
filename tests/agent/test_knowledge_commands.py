"""`flawlens knowledge` as its user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from agent.__main__ import app


class Terminal:
    """Runs commands in one home."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *arguments: object, code: int = 0) -> Result:
        done = CliRunner().invoke(app, ["--home", str(self.home), "knowledge", *map(str, arguments)])
        assert done.exit_code == code, done.output
        return done


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plant")
    (folder / "leak.md").write_text("# Leak test\n\n## Pressure\n\nFill the valve with helium at 3 bar for 40 s.\n")
    (folder / "rules.csv").write_text("product,defect,limit\nvalve,dent,none on the seat\n")
    (folder / "[red]x\x1b[2J.txt").write_text("The night shift cleans the filter of the coolant.")
    (folder / "broken.pdf").write_bytes(b"%PDF- oops")
    (folder / "photo.png").write_bytes(b"png")
    return folder


@pytest.fixture(scope="module")
def flawlens(tmp_path_factory: pytest.TempPathFactory, plant: Path) -> Terminal:
    terminal = Terminal(tmp_path_factory.mktemp("home"))
    done = terminal("add", plant, "--product", "valve", code=2)
    assert "added leak.md" in done.stdout
    assert "added [red]x\\x1b[2J.txt" in done.stdout
    assert "3 added, 0 changed, 0 unchanged, 0 removed" in done.stdout
    assert "broken.pdf: is not a readable PDF" in done.stderr
    assert "skipped files of kinds that are not read: 1 .png" in done.stderr
    return terminal


def test_what_was_added_is_found_listed_and_shown(flawlens: Terminal) -> None:
    (hit, *_) = json.loads(flawlens("search", "helium pressure of the valve", "--product", "valve", "--json").stdout)
    assert (hit["source"], hit["product"]) == ("leak.md", "valve")
    listed = flawlens("list").stdout
    assert "3 documents" in listed
    assert "[red]x\\x1b[2J.txt" in listed
    assert "102 entries" in listed
    assert f"[{hit['id']}] Leak test › Pressure, leak.md" in flawlens("show", "leak.md").stdout
    assert json.loads(flawlens("show", "rules.csv", "--json").stdout)[0]["defect"] == "dent"
    assert "划痕" in flawlens("show", "scratch").stdout


def test_an_export_is_added_elsewhere_and_a_rebuild_keeps_everything(flawlens: Terminal, tmp_path: Path) -> None:
    assert flawlens("export", tmp_path / "out").stdout == f"3 files in {tmp_path / 'out'}\n"
    other = Terminal(tmp_path / "other")
    assert "3 added" in other("add", tmp_path / "out").stdout
    assert "102 entries and 3 documents" in flawlens("rebuild").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("show", "nobody"), "nothing is known as nobody"),
        (("remove", "../x\x1b"), "nothing is known as ../x\\x1b"),
    ],
)
def test_an_unknown_name_is_one_line(flawlens: Terminal, arguments: tuple[str, ...], told: str) -> None:
    done = flawlens(*arguments, code=2)
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_removed_is_gone(flawlens: Terminal) -> None:
    assert flawlens("remove", "leak.md").stdout == "removed leak.md\n"
    assert "2 documents" in flawlens("list").stdout
