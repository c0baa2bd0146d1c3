"""What another agent may name: files below the allowed folders, and parts that it has opened."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.conversation import Conversation
from agent.diagnosis import Inspection
from agent.inspector import Inspector
from agent.trace import Run, read_run
from tools.evidence import Evidence, ToolError
from tools.image import list_images

MOST_OPEN = 8  # parts whose pictures are kept in memory; the others are loaded again when they are named


class Parts:
    """Parts by id, which is that of their run; a path outside `allowed` is refused whether it exists or not."""

    def __init__(self, inspector: Inspector, allowed: Sequence[Path]) -> None:
        self.inspector = inspector
        self.allowed = [folder.resolve() for folder in allowed]
        self._open: OrderedDict[str, Conversation] = OrderedDict()

    def open(self, image: str, references: Sequence[str], product: str | None, question: str | None) -> Conversation:
        """Loads a part with its good parts; a reference may be a folder of them."""
        good = [path for name in references for path in self._good_parts(self.path(name))]
        part = Conversation.begin(self.inspector, Inspection(self.path(image), tuple(good), product, question))
        return self._kept(part)

    def get(self, id_: str) -> Conversation:
        """The part with this id, also one of an earlier server."""
        if id_ in self._open:
            return self._kept(self._open[id_])
        return self._kept(Conversation.resume(self.inspector, id_))

    def call(self, id_: str, tool: str, arguments: dict[str, Any]) -> tuple[Evidence, Path]:
        """What a tool finds on a part, and the folder of its pictures."""
        part = self.get(id_)
        return part.call(tool, arguments), part.folder / "pictures"

    def run(self, id_: str) -> Run:
        """A run of the home."""
        return read_run(self.inspector.home / "runs", id_)

    def path(self, name: str) -> Path:
        """The file that a name means, links followed; ToolError outside the allowed folders."""
        try:
            found = (self.allowed[0] / name).resolve()
        except (OSError, ValueError) as error:
            raise ToolError(f"{name!r} is not a path") from error
        if not any(found.is_relative_to(folder) for folder in self.allowed):
            raise ToolError(f"{name!r} is outside the allowed folders: {', '.join(map(str, self.allowed))}")
        return found

    def _good_parts(self, path: Path) -> list[Path]:
        return [self.path(str(one)) for one in list_images(path)[0]] if path.is_dir() else [path]

    def _kept(self, part: Conversation) -> Conversation:
        self._open[part.id] = part
        self._open.move_to_end(part.id)
        if len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)
        return part
