"""Completion of commands, paths, ids and names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from agent.repl.commands import COMMANDS
from agent.repl.session import Session

OF_PATHS = ("image", "reference", "save")
MORE = {"continue": "go on with a turn that was stopped", "quit": "leave"}


class ChatCompleter(Completer):
    """Completes a line that begins with a slash; what is said to the agent is left alone."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Names of commands first, then what the command takes."""
        text = document.text_before_cursor
        if not text.startswith("/"):
            return
        name, blank, rest = text[1:].partition(" ")
        if not blank:
            helps = {known: command.help for known, command in COMMANDS.items()} | MORE
            yield from (
                Completion(known, -len(name), display_meta=told)
                for known, told in helps.items()
                if known.startswith(name)
            )
        elif name in OF_PATHS:
            yield from self.paths.get_completions(Document(rest), complete_event)
        else:
            word = rest.rsplit(" ", 1)[-1]
            yield from (
                Completion(one, -len(word)) for one in self._words(name) if one.lower().startswith(word.lower())
            )

    def _words(self, name: str) -> Iterator[str]:
        session = self.session
        if name == "product":
            yield from session.inspector.profiles.names()
        elif name == "planner":
            yield from ("rules", "qwen:", "openai:http://127.0.0.1:8000/v1#")
        elif name == "feedback":
            yield from ("normal", "defective")
        elif name == "why" and session.conversation:
            yield from (item.id for item in session.evidence())
        elif name in ("zoom", "compare") and session.conversation:
            views = session.conversation.album.views
            yield from (view for view in views if name == "zoom" or view.startswith("reference_"))
