"""The loop of a chat: a line is read, carried out and shown; nothing but Ctrl-D and /quit ends it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from rich.console import Console, RenderableType

from agent.inspector import expected_errors
from agent.progress import Progress
from agent.repl import told
from agent.repl.commands import run_command
from agent.repl.completion import ChatCompleter
from agent.repl.pictures import picture_of
from agent.repl.session import ChatError, Session
from agent.shown import WIDEST, text_of, visible, whole
from agent.terminal import print_diagnosis

if TYPE_CHECKING:
    from agent.trace import Event, Run

HISTORY = "chat_history"
FOR_A_PERSON: tuple[type[Exception], ...] = (ChatError, *expected_errors())
WELCOME = "flawlens chat. /help lists what you can type, Ctrl-D leaves."


class Chat:
    """One session at a terminal."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.console = Console(highlight=False, markup=False, emoji=False)
        self.console.width = min(self.console.width, WIDEST)
        home = session.inspector.home
        home.mkdir(parents=True, exist_ok=True)
        self.prompt: PromptSession[str] = PromptSession(
            history=FileHistory(str(home / HISTORY)),
            completer=ChatCompleter(session),
            complete_while_typing=False,
            key_bindings=_keys(),
            enable_open_in_editor=False,
        )
        self.progress: Progress | None = None

    def run(self) -> None:
        """Talks until the person leaves."""
        self.show([text_of((WELCOME, "bold")), *self._opening()])
        while (line := self._read()) is not None:
            self._answer(line)
        if self.session.conversation:
            self.show([whole(f"flawlens chat --resume {self.session.conversation.id}")])

    def show(self, blocks: Sequence[RenderableType | Path]) -> None:
        """Prints words, and pictures as the terminal can."""
        for block in blocks:
            # a path is longer than a line: it runs over the edge and is whole
            self.console.print(picture_of(block, self.console) if isinstance(block, Path) else block, crop=False)

    def _opening(self) -> list[RenderableType | Path]:
        session = self.session
        if session.conversation:
            run = session.conversation.run
            verdict = f", {run.diagnosis['verdict']}" if run.diagnosis else ""
            unfinished = "; a turn was not finished: /continue goes on with it" if session.conversation.pending else ""
            return [text_of(f"Going on with {run.id}{verdict}{unfinished}.")]
        if session.image:
            return [*run_command(session, "/image")]
        return [told.hint("/image PATH names a photograph of a part.")]

    def _read(self) -> str | None:
        """The next line; None when the person leaves."""
        while True:
            try:
                line = self._typed("› ")
            except KeyboardInterrupt:
                continue  # the line is given up
            except EOFError:
                return None
            return None if line in ("/quit", "/exit") else line

    def _answer(self, line: str) -> None:
        try:
            if line.startswith("/") and line != "/continue":
                self.show(run_command(self.session, line))
            elif line or self.session.conversation is None or self.session.conversation.run.diagnosis is None:
                self._turn(line)
        except KeyboardInterrupt:
            self.show([text_of(("Stopped. /continue goes on with it; nothing is lost.", "yellow"))])
        except FOR_A_PERSON as error:
            self.show([text_of((str(error), "red"))])

    def _turn(self, line: str) -> None:
        before = self._exchanges()
        with Progress(self.console, self.session.inspector.procedure.turns) as self.progress:
            if line == "/continue":
                run = self.session.carry_on(self._watch, self.progress.hear, self._ask)
            else:
                run = self.session.say(line, self._watch, self.progress.hear, self._ask)
        self._conclude(run, followed=self._exchanges() > before)

    def _exchanges(self) -> int:
        """How many questions the operator was answered."""
        talking = self.session.conversation
        diagnosis = talking.run.diagnosis if talking else None
        return sum(one["by"] == "operator" for one in diagnosis["exchanges"]) if diagnosis else 0

    def _conclude(self, run: Run, *, followed: bool) -> None:
        self.show([""])
        if followed:
            self.show(told.answer_of(run))
        else:
            print_diagnosis(run)

    def _watch(self, event: Event) -> None:
        """Prints a step above the live line."""
        assert self.progress is not None
        self.progress.watch(event)
        for block in told.step_of(event):
            self.console.print(block)

    def _ask(self, question: str) -> str:
        """The operator's answer to the agent; an empty line leaves the verdict open."""
        assert self.progress is not None
        with self.progress.paused():
            self.show(["", text_of(("The agent asks: ", "bold yellow"), question)])
            try:
                return self._typed("answer › ")
            except EOFError:
                return ""

    def _typed(self, before: str) -> str:
        """A line; what stands below it is read once, and not at every key."""
        return self.prompt.prompt([("bold", before)], bottom_toolbar=self._toolbar()).strip()

    def _toolbar(self) -> FormattedText:
        session = self.session
        run = session.conversation.run if session.conversation else None
        parts = [
            session.image.name if session.image else "no part",
            *([f"{len(session.references)} good"] if session.references else []),
            *([session.product] if session.product else []),
            session.inspector.planner_name,
            *([str(run.diagnosis["verdict"])] if run and run.diagnosis else []),
        ]
        return FormattedText([("", " " + visible(" · ".join(parts)))])


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys
