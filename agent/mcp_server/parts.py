"""What another agent may name: files below the allowed folders, and parts that it has opened."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.conversation import Conversation
from agent.diagnosis import Inspection
from agent.inspector import Inspector, Watch, ignored
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

    def open(
        self,
        image: str,
        references: Sequence[str],
        product: str | None,
        question: str | None = None,
        watch: Watch = ignored,
    ) -> Conversation:
        """Loads a part with its good parts; a reference may be a folder of them."""
        good = [path for name in references for path in self._good_parts(self.path(name))]
        part = Conversation.begin(self.inspector, Inspection(self.path(image), tuple(good), product, question), watch)
        return self._kept(part)

    def get(self, id_: str) -> Conversation:
        """The part with this id, also one of an earlier server."""
        if id_ in self._open:
            return self._kept(self._open[id_])
        asked = self.run(id_).inspection
        own = self.inspector.profiles.folder.resolve()  # good parts of enrolled products
        named = [_resolved(Path(name)) for name in (asked["image"], *asked["references"])]
        if not all(path and (self._is_allowed(path) or path.is_relative_to(own)) for path in named):
            raise ToolError(f"{id_!r} is a run on pictures outside the allowed folders; open_part opens another part")
        return self._kept(Conversation.resume(self.inspector, id_))

    def call(self, id_: str, tool: str, arguments: dict[str, Any]) -> tuple[str, Evidence, Path]:
        """What a tool says and finds on a part, and the folder of its pictures."""
        part = self.get(id_)
        found = part.call(tool, arguments)
        return str(part.state["messages"][-1].content), found, part.folder / "pictures"

    def run(self, id_: str) -> Run:
        """A run of the home."""
        return read_run(self.inspector.home / "runs", id_)

    def path(self, name: str) -> Path:
        """The file that a name means, links followed; ToolError outside the allowed folders."""
        found = _resolved(self.allowed[0] / name)
        if found is None or not self._is_allowed(found):
            raise ToolError(f"{name!r} is outside the allowed folders: {', '.join(map(str, self.allowed))}")
        return found

    def _is_allowed(self, path: Path) -> bool:
        return any(path.is_relative_to(folder) for folder in self.allowed)

    def _good_parts(self, path: Path) -> list[Path]:
        return [self.path(str(one)) for one in list_images(path)[0]] if path.is_dir() else [path]

    def _kept(self, part: Conversation) -> Conversation:
        self._open[part.id] = part
        self._open.move_to_end(part.id)
        if len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)
        return part


def _resolved(path: Path) -> Path | None:
    """The path with its links followed; None for links in a circle, wherever they are, and what cannot be a path."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return None
