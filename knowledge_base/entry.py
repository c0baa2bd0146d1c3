"""One entry of the knowledge base: a Markdown file that says the same in English and in Chinese."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import frontmatter
import yaml
from frontmatter.default_handlers import YAMLHandler
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from knowledge_base.limits import Limit

Language = Literal["en", "zh"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")
LANGUAGE_HEADINGS: Final[dict[Language, str]] = {"en": "English", "zh": "中文"}
SECTION_HEADINGS: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "looks": "How it looks",
        "look_alikes": "Look-alikes",
        "effect": "Effect",
        "causes": "Causes",
        "disposition": "Disposition",
        "repair": "Repair",
        "prevention": "Prevention",
    },
    "zh": {
        "looks": "外观",
        "look_alikes": "易混淆",
        "effect": "影响",
        "causes": "原因",
        "disposition": "处置",
        "repair": "修复",
        "prevention": "预防",
    },
}
MOST_BYTES: Final = 64 * 1024

_FORM = "give it the form of the files in knowledge_base/entries"
# They would act on the terminal, or turn the direction of the text, wherever a passage is shown.
_CONTROLS: Final = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069"
_MARKED: Final = re.compile(rb"(?:\xef\xbb\xbf)?---[ \t]*\r?\n(?:(?!---).*\n)*?id[ \t]*:")
_T = TypeVar("_T")


class KnowledgeError(Exception):
    """Something a person has to mend, told in one line: the `path`, the `cause` and a `remedy`."""

    def __init__(self, path: Path, cause: str, remedy: str) -> None:
        self.path, self.cause, self.remedy = path, cause, remedy
        line = f"{path}: {cause}; {remedy}"
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line))


def _every_language(texts: dict[Language, _T]) -> dict[Language, _T]:
    for language in LANGUAGES:
        if language not in texts:
            raise ValueError(f"lacks the language {language}")
    return texts


Line = Annotated[str, Field(min_length=1, max_length=200, pattern=rf"^[^\n\t{_CONTROLS}]+$")]
Titles = Annotated[dict[Language, Line], AfterValidator(_every_language)]
Aliases = Annotated[dict[Language, tuple[Line, ...]], AfterValidator(_every_language)]


class Sections(BaseModel):
    """What an entry says in one language; `causes`, `repair` and `prevention` are lists of short points."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    looks: str
    look_alikes: str
    effect: str
    causes: tuple[str, ...]
    disposition: str
    repair: tuple[str, ...]
    prevention: tuple[str, ...]

    @field_validator("causes", "repair", "prevention", mode="before")
    @classmethod
    def _points(cls, text: str) -> tuple[str, ...]:
        """The points of a bullet list; a line without a bullet goes on with the point above it."""
        first, *rest = re.split(r"^[-*][ \t]+", text, flags=re.MULTILINE)
        if first.strip() or not rest:
            raise ValueError("is not a list of lines that begin with '- '")
        return tuple(" ".join(point.split()) for point in rest)


class Entry(BaseModel):
    """What is known about one defect, of some products or in general.

    `products` are the products it is about (none: every product of its `family`); `family` is "general" when
    it holds for anything; `severity` and `disposition` are the typical ones; `source` is what a diagnosis cites.
    `limits` are applied to what an inspection measures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9_-]+$", max_length=80)
    title: Titles
    products: tuple[Line, ...]
    family: str = Field(pattern=r"^[a-z0-9_-]+$", max_length=40)
    defect: Line
    aliases: Aliases
    severity: Literal["minor", "major", "critical"]
    disposition: Literal["accept", "rework", "repair", "scrap", "hold"]
    source: Line
    limits: Annotated[tuple[Limit, ...], Field(max_length=20)] = ()
    sections: Annotated[dict[Language, Sections], AfterValidator(_every_language)]


def read_entry(path: Path) -> Entry:
    """The entry in a Markdown file.

    Raises KnowledgeError, naming the file and the field, for a file that is not such an entry.
    """
    metadata, body = _front_matter(path)
    chapters = _split(path, body, "##", LANGUAGE_HEADINGS.values())
    sections = {
        language: dict(zip(headings, _split(path, chapter, "###", headings.values()), strict=True))
        for chapter, (language, headings) in zip(chapters, SECTION_HEADINGS.items(), strict=True)
    }
    try:
        entry = Entry.model_validate({**metadata, "sections": sections})
    except ValidationError as error:
        raise KnowledgeError(path, _complaint(error), _FORM) from None
    if entry.id != path.stem:
        raise KnowledgeError(path, f"its id is {entry.id}", f"name the file {entry.id}.md or correct the id")
    return entry


def is_entry(path: Path) -> bool:
    """Whether a file means to be an entry: Markdown whose front matter has a line for the `id`."""
    try:
        return path.suffix == ".md" and _MARKED.match(path.read_bytes()) is not None
    except OSError:
        return False


def _front_matter(path: Path) -> tuple[dict[str, object], str]:
    """Metadata and body; YAML is read by PyYAML's safe loader, frontmatter's default."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise KnowledgeError(path, f"is larger than {MOST_BYTES} bytes", "split it into entries")
        text = path.read_text(encoding="utf-8-sig")
        metadata, body = frontmatter.parse(text, handler=YAMLHandler())
    except OSError as error:
        raise KnowledgeError(path, f"cannot be read ({error.strerror})", "check the file and its rights") from None
    except UnicodeDecodeError:
        raise KnowledgeError(path, "is not UTF-8 text", "save it as UTF-8") from None
    except (yaml.YAMLError, ValueError) as error:
        raise KnowledgeError(path, f"front matter is not YAML ({' '.join(str(error).split())})", _FORM) from None
    if re.search(f"[{_CONTROLS}]", text):
        raise KnowledgeError(path, "has control characters in it", "remove them")
    if not metadata:
        raise KnowledgeError(path, "has no front matter between '---' lines", _FORM)
    return {str(field): value for field, value in metadata.items()}, body


def _split(path: Path, text: str, mark: str, headings: Iterable[str]) -> list[str]:
    """The text below each heading, in the order of `headings`; KnowledgeError unless just these are there."""
    before, *parts = re.split(rf"^{mark}[ \t]+(.*)$", text, flags=re.MULTILINE)
    if before.strip():
        raise KnowledgeError(path, f"has text before its first '{mark}' heading", _FORM)
    names = [name.strip() for name in parts[::2]]
    below = {name: part.strip() for name, part in zip(names, parts[1::2], strict=True)}
    wanted = list(headings)
    for name in wanted:
        if not below.get(name):
            raise KnowledgeError(path, f"section '{mark} {name}' is missing or empty", _FORM)
    for name in Counter(names) - Counter(wanted):
        raise KnowledgeError(path, f"section '{mark} {name}' is unknown or repeated", _FORM)
    return [below[name] for name in wanted]


def _complaint(error: ValidationError) -> str:
    """The first of the errors, as `field: what is wrong`."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"{field}: {first['msg'].removeprefix('Value error, ')}"
