"""Prompts are Markdown files beside this one; a missing variable is an error."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).parent


@cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def render(name: str, **variables: object) -> str:
    """The prompt `name` with its variables filled in; jinja2.UndefinedError when one is missing."""
    return _environment().get_template(f"{name}.md").render(**variables).strip()


@cache
def prompts_hash() -> str:
    """First 12 digits of the sha256 over all prompts, so that a run says which wording it used."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.md")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
