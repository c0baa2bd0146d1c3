"""Lists that a person reads in a terminal: what is known, and what the doctor found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType

from agent.shown import counted, indented, rows_of, show, text_of, whole
from knowledge_base.entry import SECTION_HEADINGS

if TYPE_CHECKING:
    from agent.doctor import Finding
    from knowledge_base.documents.chunks import Chunk
    from knowledge_base.documents.shelf import Record
    from knowledge_base.entry import Entry
    from knowledge_base.passage import Passage
    from tools.cases import Case

LEVELS = {"ok": "green", "note": "yellow", "problem": "bold red"}


def print_passages(passages: Sequence[Passage]) -> None:
    """What the knowledge base answers, best first."""
    if not passages:
        show(text_of("Nothing relevant in the knowledge base."))
        return
    for passage in passages:
        about = f"{passage.defect}, {passage.product}, relevance {passage.score:.2f}, source: {passage.source}"
        title = text_of((passage.title, "bold"), f"  [{passage.id}]")
        show(title, indented(text_of((about, "dim"))), indented(text_of(passage.text)), "")


def print_entries(entries: Sequence[Entry]) -> None:
    """One line an entry of the knowledge base."""
    rows = [(entry.id, entry.family, f"{entry.severity}, {entry.disposition}", entry.title["en"]) for entry in entries]
    table = [rows_of(rows, header=("id", "family", "typical", "title"))] if rows else []
    show(*table, text_of((counted(len(rows), "entry", "entries"), "dim")))


def print_findings(findings: Sequence[Finding]) -> None:
    """What the doctor found, each with its remedy, and a last line that sums up."""
    blocks: list[RenderableType] = []
    for finding in findings:
        style = LEVELS[finding.level]
        blocks.append(text_of((f"{finding.level:<9}", style), (f"{finding.name:<16}", "bold"), finding.text))
        if finding.remedy:
            blocks.append(whole(f"{'':<9}-> {finding.remedy}"))
    problems = sum(finding.level == "problem" for finding in findings)
    last = (counted(problems, "problem"), LEVELS["problem"]) if problems else ("Ready to inspect.", LEVELS["ok"])
    show(*blocks, "", text_of(last))


def print_documents(documents: Sequence[Record]) -> None:
    """One line a document."""
    rows = [(one.key, one.product or "any", counted(one.passages, "passage"), one.name) for one in documents]
    table: list[RenderableType] = ["", rows_of(rows, header=("key", "product", "passages", "document"))] if rows else []
    show(*table, text_of((counted(len(rows), "document"), "dim")))


def print_entry(entry: Entry) -> None:
    """All that an entry says, in both languages."""
    about = f"{', '.join(entry.products) or entry.family}; {entry.severity}, {entry.disposition}; {entry.source}"
    blocks: list[RenderableType] = [text_of((f"[{entry.id}]", "bold"), f" {about}")]
    for language, sections in entry.sections.items():
        blocks += ["", text_of((entry.title[language], "bold"))]
        for field, heading in SECTION_HEADINGS[language].items():
            said = getattr(sections, field)
            words = said if isinstance(said, str) else "\n".join(f"- {point}" for point in said)
            blocks += [text_of((heading, "dim")), indented(text_of(words))]
    show(*blocks)


def print_chunks(chunks: Sequence[Chunk]) -> None:
    """The passages of documents, each with the id that is cited."""
    for chunk in chunks:
        title = text_of((f"[{chunk.id}]", "bold"), f" {chunk.heading}, {chunk.place}")
        show(title, indented(text_of(chunk.text)), "")


def print_cases(cases: Sequence[Case]) -> None:
    """One line a case, newest first."""
    rows = [(case.id, case.outcome, case.verdict, case.type, case.product or "", case.note) for case in cases]
    header = ("case", "outcome", "operator", "type", "product", "note")
    show(*([rows_of(rows, header=header)] if rows else []), text_of((counted(len(rows), "case"), "dim")))


def print_case(case: Case) -> None:
    """What was found on one part, and what was said of it."""
    said = f"the agent said {case.said}, the operator {case.verdict}{f' ({case.type})' if case.type else ''}"
    blocks: list[RenderableType] = [text_of((case.id, "bold"), f" {case.product or 'no product'}, {case.at}")]
    blocks += [text_of(f"{case.outcome}: {said}"), *([text_of(f"note: {case.note}")] if case.note else [])]
    blocks += [text_of(finding) for finding in case.findings]
    for mark in case.marks:
        told = "not recognised again" if mark.needed is None else f"recognised from a likeness of {mark.needed:.2f}"
        blocks.append(text_of(f"mark at {[round(edge) for edge in mark.box]}: {told}"))
    show(*blocks)
