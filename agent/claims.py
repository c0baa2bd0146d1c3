"""Which claims of a diagnosis rest on a piece of evidence or on a passage of knowledge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

WORDS = {"summary": "why", "against": "what speaks against it", "answer": "the answer"}


def claims_on(diagnosis: Mapping[str, Any], id_: str) -> Iterator[tuple[str, str]]:
    """Each claim in a few words, with the anchor that a page gives it."""
    for number, defect in enumerate(diagnosis.get("defects", []), start=1):
        if id_ in defect["evidence"]:
            yield f"defect {number}: {defect['type']}, {defect['severity']}, {defect['place']}", f"defect-{number}"
    for name, words in WORDS.items():
        if f"[{id_}]" in diagnosis.get(name, ""):
            yield words, name
    repair = diagnosis.get("repair", {})
    cited = [line for line in (*repair.get("actions", []), *repair.get("prevention", [])) if f"[{id_}]" in line]
    if cited:
        yield f"{len(cited)} of what to do", "repair"
    for criterion in diagnosis.get("criteria", []):
        if id_ in (criterion["evidence"], criterion["knowledge"]):
            yield f"the limit {criterion['limit']}", "repair"
    for number, exchange in enumerate(diagnosis.get("exchanges", []), start=1):
        if id_ in exchange["evidence"]:
            yield f"the answer to “{exchange['question']}”", f"exchange-{number}"
