"""`flawlens enroll` and `flawlens products`: profiles of products."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agent.commands.options import DEFAULT_HOME, DETECTOR_HELP, AsJson, Backbone, Device, Home, chosen_home

if TYPE_CHECKING:
    from tools.profiles import Knowledge, Profile
    from tools.profiles.store import Profiles

products = typer.Typer(help="Products that were enrolled with their good parts.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the product.")]


def enroll(
    context: typer.Context,
    name: Name,
    normals: Annotated[Path, typer.Option(help="Folder of good parts.", exists=True, file_okay=False)],
    defects: Annotated[
        Path | None, typer.Option(help="Folder of defective parts; places the band for review.", exists=True)
    ] = None,
    knowledge: Annotated[
        Path | None, typer.Option(help="Markdown entry on the product's defects.", exists=True, dir_okay=False)
    ] = None,
    detector: Annotated[str, typer.Option(help=DETECTOR_HELP)] = "few-shot",
    backbone: Backbone = "onnx",
    device: Device = "auto",
    pose: Annotated[
        Literal["auto", "fixed", "turned", "flipped"],
        typer.Option(help="How good parts lie: always alike, turned, turned or flipped over; auto finds out."),
    ] = "auto",
    scale: Annotated[float | None, typer.Option(help="Millimetres per pixel of the pictures.", min=1e-6)] = None,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Learn a product from its good parts; `inspect --product NAME` uses it. An earlier profile is kept till then."""
    from rich.console import Console
    from rich.progress import Progress

    from tools.detectors.methods import make_method
    from tools.profiles.enroll import Wish, survey
    from tools.profiles.enroll import enroll as fit_product

    profiles = _profiles(chosen_home(context, home))
    profiles.place(name)
    method = make_method(detector, backbone=backbone, device=device)
    entry = _entry(chosen_home(context, home), knowledge) if knowledge else None
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=None)

        def tick(file: str) -> None:
            progress.update(task, advance=1, description=f"{name}: {file}"[:60])

        found = survey(normals, tick)
        bad = survey(defects, tick) if defects else None
        progress.update(task, completed=0, total=len(found.images) + (len(bad.images) if bad else 0))
        profile = fit_product(profiles, name, method, Wish(detector, backbone, pose, scale, entry), found, bad, tick)
    if as_json:
        print(json.dumps(profile.model_dump(mode="json"), ensure_ascii=False, indent=2))
    else:
        _print(profiles, name)


@products.command("list")
def products_list(context: typer.Context, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """List the enrolled products."""
    from rich.console import Console
    from rich.table import Table

    profiles = _profiles(chosen_home(context, home))
    found = [profiles.get(name) for name in profiles.names()]
    if as_json:
        print(json.dumps([profile.model_dump(mode="json") for profile in found], ensure_ascii=False, indent=2))
        return
    table = Table("product", "detector", "good parts", "defects", "enrolled", box=None)
    for profile in found:
        counts = str(len(profile.normals)), str(len(profile.defects))
        table.add_row(profile.name, profile.detector, *counts, profile.created)
    Console().print(table if found else "no product is enrolled: flawlens enroll NAME --normals DIR")


@products.command("show")
def products_show(context: typer.Context, name: Name, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Show how a product was enrolled."""
    profiles = _profiles(chosen_home(context, home))
    if as_json:
        print(json.dumps(profiles.get(name).model_dump(mode="json"), ensure_ascii=False, indent=2))
    else:
        _print(profiles, name)


@products.command("remove")
def products_remove(context: typer.Context, name: Name, home: Home = DEFAULT_HOME) -> None:
    """Forget a product; runs and knowledge stay."""
    _profiles(chosen_home(context, home)).remove(name)
    print(f"{name} is forgotten")


@products.command("export")
def products_export(
    context: typer.Context,
    name: Name,
    out: Annotated[Path | None, typer.Option(help="File to write; by default NAME.flawlens here.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Write a product as one file to carry to another computer."""
    print(_profiles(chosen_home(context, home)).export(name, out or Path(f"{name}.flawlens")))


@products.command("import")
def products_import(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="File that `products export` wrote.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Read an exported product; nothing in the file can execute."""
    from tempfile import TemporaryDirectory

    profiles = _profiles(chosen_home(context, home))
    profile = profiles.take_in(file)
    if profile.knowledge:
        with TemporaryDirectory() as folder:
            file = Path(folder) / profile.knowledge.file
            file.write_text(profile.knowledge.text, "utf-8")
            _entry(chosen_home(context, home), file)
    _print(profiles, profile.name)


def _profiles(home: Path) -> Profiles:
    from tools.profiles.store import Profiles

    return Profiles(home / "products")


def _entry(home: Path, file: Path) -> Knowledge:
    """Add an entry to the knowledge of the home and return it; the error of a broken one is raised."""
    from knowledge_base.store import KnowledgeBase
    from tools.profiles import Knowledge

    report = KnowledgeBase(home / "knowledge").add(file)
    for error in report.refused:
        raise error
    return Knowledge(file=file.name, text=file.read_text("utf-8"))


def _known(profile: Profile) -> str:
    if profile.review is None:
        return "none"
    low_defect, high_normal = profile.review
    overlap = f"the lowest at a probability of {low_defect:.2f}, the highest good parts at {high_normal:.2f}"
    return f"{len(profile.defects)}, {overlap}"


def _print(profiles: Profiles, name: str) -> None:
    """The profile for a person on stdout, its notices on stderr."""
    from rich.console import Console
    from rich.table import Table

    profile = profiles.get(name)
    table = Table(box=None, show_header=False, title=f"[bold]{profile.name}", title_justify="left")
    for row in (
        ("good parts", str(len(profile.normals))),
        ("detector", f"{profile.made_with}; parts lie {profile.pose}"),
        ("normal range", f"up to {profile.calibration.limit:.3f}, from {profile.calibration.method}"),
        ("known defects", _known(profile)),
        ("scale", f"{profile.mm_per_pixel} mm per pixel" if profile.mm_per_pixel else "unknown"),
        ("enrolled", profile.created),
        ("folder", str(profiles.place(name))),
    ):
        table.add_row(*row)
    Console(markup=True, highlight=False).print(table)
    for notice in profile.notices:
        print(f"flawlens: {notice}", file=sys.stderr)
