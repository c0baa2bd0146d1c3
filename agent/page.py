"""A run as one self-contained HTML page: no script, no request, pictures inside, everything escaped."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from agent.claims import claims_on
from agent.diagnosis import REVIEW_BAND
from agent.shown import visible
from agent.terminal import ENDINGS, PLANNERS, SPEAKERS, chance, in_words, tokens, unfiled, words_of
from agent.trace import Run, RunError
from knowledge_base.files import write_atomically

if TYPE_CHECKING:
    from agent.viewer.pages import Served

TEMPLATES = Path(__file__).parent / "templates"
PICTURE_TYPES = {".jpg": "image/jpeg", ".png": "image/png"}
LAYERS = {"anomaly_map": "Heat map", "compare_with_reference": "Difference"}
UNITS = {"px": "px", "percent": "%", "deg": "°"}
_FILED = re.compile(r"\[(E\d+)\] ")
_BRACKETS = re.compile(r"\[([^\[\]]+)\]")

Record = Mapping[str, Any]


def write_page(run: Run, path: Path) -> Path:
    """Write the page of a run, finished or not, and return its path; RunError when it cannot be written.

    A reader never sees half a page.
    """
    try:
        write_atomically(path, render_page(run).encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise RunError(path, f"cannot be written ({error.strerror})", "choose another file with --out") from error
    return path


def render(name: str, **values: Any) -> str:
    """A template of ours with values in it, all of them escaped."""
    return _environment().get_template(name).render(**values)


def render_page(run: Run, served: Served | None = None) -> str:
    """The page as text; `served` is what the viewer adds, without it the page is one file with its pictures inside."""
    evidence = evidence_of(run)
    passages = _passages(evidence)
    images = list(run.images.values())
    picture = partial(served.picture, run) if served else _reader(run.folder / "pictures")
    anchors = {item["id"]: f"evidence-{number}" for number, item in enumerate(evidence, start=1)}
    anchors |= {id_: f"knowledge-{number}" for number, id_ in enumerate(passages, start=1)}
    return render(
        "run.html",
        run=run,
        served=served,
        diagnosis=run.diagnosis,
        ending=ENDINGS[run.status],
        planner=PLANNERS.get(run.setup["planner"], run.setup["planner"]),
        band=run.setup.get("procedure", {}).get("review", REVIEW_BAND),
        evidence=evidence,
        anchors=anchors,
        linked=partial(_linked, anchors),
        passages=passages,
        images=images,
        picture=picture,
        part=next((picture(image["file"]) for image in images if image["id"] == "part"), None),
        layers=[
            (f"{LAYERS[item['tool']]} {item['id']}", picture(name))
            for item in evidence
            if item["tool"] in LAYERS
            for name in item["files"]
        ],
        marks=list(marks_of(run.diagnosis, evidence, anchors)),
        produced=_produced(run),
        claims=partial(claims_on, run.diagnosis or {}),
        total=sum(event.seconds for event in run.events),
        raw=json.dumps(asdict(run), ensure_ascii=False, indent=1, default=str),
    )


def evidence_of(run: Run) -> list[dict[str, Any]]:
    """All evidence that a run has filed, finished or not."""
    if run.diagnosis:
        return list(run.diagnosis["evidence"])
    return [item for event in run.events for item in event.update.get("evidence", [])]


def escaping() -> Environment:
    """Where all pages come from: every text is escaped and its control characters are spelled out."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _environment() -> Environment:
    environment = escaping()
    environment.filters |= {
        "chance": chance,
        "counted": lambda pairs, name: dict(pairs).get(name, 0),
        "in_words": in_words,
        "quantity": _quantity,
        "said": words_of,
        "speaker": lambda kind: SPEAKERS.get(kind, kind),
        "tokens": tokens,
        "unfiled": unfiled,
        "written": partial(json.dumps, ensure_ascii=False, indent=1),
    }
    return environment


def _reader(folder: Path) -> Callable[[str], Markup | None]:
    """Reads a picture of the run as a data: URI; None when it is not there. No name leads out of the folder."""

    def picture(name: str) -> Markup | None:
        path = folder / Path(name).name
        kind = PICTURE_TYPES.get(path.suffix)
        if kind is None or not path.is_file():
            return None
        return Markup(f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}")

    return picture


def _passages(evidence: Iterable[Record]) -> dict[str, dict[str, Any]]:
    """Knowledge entries by id, in the order they were found, each with the evidence that found it."""
    found: dict[str, dict[str, Any]] = {}
    for item in evidence:
        for passage in item["passages"]:
            found.setdefault(passage["id"], {**passage, "found": []})["found"].append((item["id"], passage["score"]))
    return found


def marks_of(
    diagnosis: Record | None, evidence: Iterable[Record], anchors: Mapping[str, str]
) -> Iterable[tuple[list[float], str, str]]:
    """Boxes over the part, each with label and anchor: the defects, else what lies above the normal range."""
    defects = diagnosis["defects"] if diagnosis else []
    for number, defect in enumerate(defects, start=1):
        yield defect["box"], str(number), f"defect-{number}"
    if not defects:
        for item in evidence:
            for region in item["regions"] if item["above_normal"] else ():
                yield region["box"], item["id"], anchors.get(item["id"], "")


def _linked(anchors: Mapping[str, str], text: str) -> Markup:
    """The text, escaped; ids of evidence and knowledge in square brackets become links to their cards."""

    def link(found: re.Match[str]) -> str:
        word = found[1]
        return f'<a class="id" href="#{anchors[word]}">{word}</a>' if word in anchors else found[0]

    return Markup(_BRACKETS.sub(link, escape(visible(text))))


def _produced(run: Run) -> dict[tuple[int, str], str]:
    """The evidence that came of a call, by the call's step and id; the ids of calls may be used again."""
    asked: dict[str, int] = {}
    found: dict[tuple[int, str], str] = {}
    for event in run.events:
        for message in event.update.get("messages", []):
            asked.update((call["id"], event.step) for call in message.get("tool_calls", []) if call.get("id"))
            filed = _FILED.match(words_of(message))
            if message.get("type") == "tool" and filed and message.get("tool_call_id") in asked:
                found[asked[message["tool_call_id"]], message["tool_call_id"]] = filed[1]
    return found


def _quantity(name: str) -> str:
    """The name of a measurement with its unit apart: `area_percent` is "area, %"."""
    *words, last = name.split("_")
    return f"{' '.join(words)}, {UNITS[last]}" if words and last in UNITS else name.replace("_", " ")
