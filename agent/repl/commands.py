"""What a person types behind a slash."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from rich.console import RenderableType

from agent.repl import told
from agent.repl.session import ChatError, Session
from agent.shown import counted, text_of
from tools.cases import Word

Shown = Sequence[RenderableType | Path]  # words, and files of pictures
Do = Callable[[Session, Sequence[str]], Shown]


@dataclass(frozen=True)
class Command:
    """One command: what follows its name, what it does in a few words, and the function."""

    usage: str
    help: str
    do: Do


def run_command(session: Session, line: str) -> Shown:
    """What a line such as `/why E3` shows; ChatError for a name that does not exist or arguments that do not fit."""
    try:
        name, *arguments = shlex.split(line.removeprefix("/"))
    except ValueError as error:
        raise ChatError(f"the line cannot be read ({error}): quote a name with blanks") from error
    if name not in COMMANDS:
        raise ChatError(f"there is no /{name}; /help lists the commands")
    return COMMANDS[name].do(session, arguments)


def _image(session: Session, arguments: Sequence[str]) -> Shown:
    if arguments:
        path = Path(" ".join(arguments)).expanduser()
        _readable([path])
        session.show(path)
    if session.image is None:
        raise ChatError("say which: /image PATH")
    return [session.image, told.hint("Enter inspects it; or type what you want to know.")]


def _reference(session: Session, arguments: Sequence[str]) -> Shown:
    from tools.image import with_folders_read

    if arguments:
        found = with_folders_read([Path(argument).expanduser() for argument in arguments])
        _readable(found)
        session.compare_with(found)
    names = ", ".join(path.name for path in session.references[:8]) or "none"
    more = f" and {len(session.references) - 8} more" if len(session.references) > 8 else ""
    return [text_of(f"{counted(len(session.references), 'good part')}: {names}{more}")]


def _product(session: Session, arguments: Sequence[str]) -> Shown:
    if arguments:
        session.name(" ".join(arguments))
    enrolled = session.inspector.profiles.find(session.product) is not None
    note = ", enrolled" if enrolled else ", not enrolled: its good parts are those of /reference"
    return [text_of(f"product: {session.product or 'not named'}{note if session.product else ''}")]


def _planner(session: Session, arguments: Sequence[str]) -> Shown:
    if arguments:
        session.plan_with(arguments[0])
    return [text_of(f"planner: {session.inspector.planner_name}")]


def _tools(session: Session, arguments: Sequence[str]) -> Shown:  # noqa: ARG001
    talking = session.talking
    tools = session.inspector.room(talking.case, talking.album).tools
    return [told.fields((tool.name, tool.description.splitlines()[0]) for tool in tools)]


def _zoom(session: Session, arguments: Sequence[str]) -> Shown:
    *image, x0, y0, x1, y1 = arguments if len(arguments) >= 4 else ["?"] * 4
    try:
        box = [float(edge) for edge in (x0, y0, x1, y1)]
    except ValueError as error:
        raise ChatError("say where: /zoom [IMAGE] X0 Y0 X1 Y1, in 0-1000 of the image") from error
    found = session.found_by("zoom", {"image": image[0] if image else "part", "box": box})
    return told.evidence_of(session, found)


def _map(session: Session, arguments: Sequence[str]) -> Shown:  # noqa: ARG001
    return told.evidence_of(session, session.found_by("anomaly_map", {}))


def _compare(session: Session, arguments: Sequence[str]) -> Shown:
    reference = arguments[0] if arguments else "reference_1"
    return told.evidence_of(session, session.found_by("compare_with_reference", {"reference": reference}))


def _why(session: Session, arguments: Sequence[str]) -> Shown:
    run, wanted = session.inspected, (arguments[0].upper() if arguments else "")
    if not wanted:
        return told.reasons(run)
    found = [item for item in session.evidence() if item.id == wanted]
    if not found:
        ids = ", ".join(item.id for item in session.evidence()) or "none"
        raise ChatError(f"there is no evidence {wanted}; there is: {ids}")
    return [*told.evidence_of(session, found[0]), *told.claims(run, wanted)]


def _evidence(session: Session, arguments: Sequence[str]) -> Shown:  # noqa: ARG001
    return [told.evidence_table(session.evidence()) or told.hint("no evidence yet")]


def _save(session: Session, arguments: Sequence[str]) -> Shown:
    from agent.page import write_page

    run = session.talking.run
    path = Path(" ".join(arguments)).expanduser() if arguments else run.folder / "run.html"
    return [text_of(f"saved {write_page(run, path)}")]


def _feedback(session: Session, arguments: Sequence[str]) -> Shown:
    from agent.feedback import remember

    verdict, type_, *note = [*arguments, "", ""][: max(len(arguments), 2)]
    if verdict not in get_args(Word):
        raise ChatError("say what the part really is: /feedback normal|defective [TYPE] [NOTE]")
    word = cast("Word", verdict)
    case = remember(session.inspector.cases, session.inspected, word, type_, " ".join(note))
    return [text_of(f"{case.outcome}: kept; later inspections of {case.product or 'such parts'} are told")]


def _undo(session: Session, arguments: Sequence[str]) -> Shown:  # noqa: ARG001
    if not session.talking.undo():
        raise ChatError("there is nothing to take back but the inspection itself")
    return [text_of("The last turn is taken back, with its evidence.")]


def _help(session: Session, arguments: Sequence[str]) -> Shown:  # noqa: ARG001
    rows = [(f"/{name} {command.usage}".rstrip(), command.help) for name, command in COMMANDS.items()]
    keys = [
        ("Enter", "inspects the part, or sends the line"),
        ("Alt-Enter", "begins a new line"),
        ("Tab", "completes commands, paths, ids"),
        ("Ctrl-C", "stops the turn, and nothing else; /continue goes on with it"),
        ("Ctrl-D", "leaves; `flawlens chat --resume ID` comes back"),
    ]
    return [
        told.fields([*rows, ("/continue", "go on with a turn that was stopped"), ("/quit", "leave")]),
        "",
        told.fields(keys),
    ]


def _readable(paths: Sequence[Path]) -> None:
    """ImageError now, while the person still knows what was typed."""
    from tools.image import load_images

    load_images(list(paths))


COMMANDS: Mapping[str, Command] = {
    "image": Command("PATH", "the part to look at", _image),
    "reference": Command("PATH...", "good parts to compare with", _reference),
    "product": Command("NAME", "what the part is", _product),
    "planner": Command("NAME", "who plans: rules, qwen:MODEL, openai:URL#MODEL", _planner),
    "map": Command("", "the anomaly map", _map),
    "compare": Command("[reference_2]", "the difference from a good part", _compare),
    "zoom": Command("[IMAGE] X0 Y0 X1 Y1", "a place at full resolution, measured, in 0-1000", _zoom),
    "evidence": Command("", "all that was found", _evidence),
    "why": Command("[E3]", "the reasons, or one piece of evidence and what rests on it", _why),
    "tools": Command("", "what the planner can call", _tools),
    "feedback": Command("normal|defective [TYPE] [NOTE]", "confirm or correct the verdict", _feedback),
    "save": Command("[FILE]", "the conversation as one page", _save),
    "undo": Command("", "take the last turn back", _undo),
    "help": Command("", "this list", _help),
}
