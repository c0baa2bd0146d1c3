"""Pictures in a terminal: sixel and kitty's protocol where they are understood, coloured blocks elsewhere."""

from __future__ import annotations

import logging
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.text import Text

from agent.shown import visible
from tools.drawing import at_most
from tools.image import load_image

COLUMNS = 44  # wide; a photograph of a part is read at a glance and looked at in the file
SIDE = 700  # pixels that are sent to a terminal which draws them


def picture_of(path: Path, console: Console) -> RenderableType:
    """The picture and its path; the path alone where nobody looks at a screen."""
    name = Text(visible(str(path)), style="dim", no_wrap=True, overflow="ignore")
    if not console.is_terminal:
        return name
    # It logs with a traceback that a terminal does not tell the size of its cells, which it then assumes.
    logging.getLogger("textual_image").setLevel(logging.ERROR)
    from PIL import Image
    from textual_image.renderable import Image as Drawn

    pixels = at_most(load_image(path).pixels, SIDE)
    return Group(Drawn(Image.fromarray(pixels), width=min(COLUMNS, console.width - 2)), name)
