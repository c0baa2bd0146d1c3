"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_HOME = Path("~/.flawlens")
DETECTOR_HELP = "few-shot (the default), patchcore, winclip, anomalyclip:FILE or anomalib:FILE; see `detectors list`."

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]
Backbone = Annotated[str, typer.Option(help="onnx (packaged), or timm:NAME with the extra torch.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda[:N], for torch models.")]
Home = Annotated[
    Path,
    typer.Option(envvar="FLAWLENS_HOME", help="Folder for products, knowledge and runs.", file_okay=False),
]


def chosen_home(context: typer.Context, home: Path) -> Path:
    """The command's own --home, else the one before the command, else the default."""
    chosen: Path = context.obj if home == DEFAULT_HOME else home
    return chosen.expanduser()
