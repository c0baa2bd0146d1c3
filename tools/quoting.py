"""Text from documents and people, as a planner reads it: quoted, so that it cannot pass for anything else."""

from __future__ import annotations

import re

_TAG = re.compile(r"<(?=[|/!?\w｜])")


def quoted(text: str) -> str:
    """Every line behind "> ", and no tag that a chat template or a parser could take for its own."""
    return "\n".join(f"> {line}" for line in harmless(text).splitlines())


def harmless(text: str) -> str:
    """The text with a space behind every "<" that could begin a tag."""
    return _TAG.sub("< ", text)
