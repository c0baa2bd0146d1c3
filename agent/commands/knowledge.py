"""`flawlens knowledge`: what a diagnosis can cite."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from agent.commands.options import BAD_INPUT, DEFAULT_HOME, AsJson, Home, Product, chosen_home, nothing_known

knowledge = typer.Typer(help="Expert knowledge that a diagnosis can cite.", no_args_is_help=True)


@knowledge.command("search")
def search(
    context: typer.Context,
    query: str,
    product: Product = None,
    limit: Annotated[int, typer.Option(min=1, max=50)] = 3,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Find entries and passages of documents by what is seen, in English or Chinese."""
    from agent.listings import print_passages
    from knowledge_base.store import KnowledgeBase

    passages = KnowledgeBase(chosen_home(context, home) / "knowledge").search(query, product=product, limit=limit)
    if as_json:
        print(json.dumps([asdict(passage) for passage in passages], ensure_ascii=False, indent=2))
    else:
        print_passages(passages)


@knowledge.command("add")
def add(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="A file, or a folder: entries, PDF, DOCX, XLSX, CSV, Markdown, text.")],
    product: Annotated[str | None, typer.Option(help="Product or family that the documents are about.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Add or renew entries and documents; a broken file is reported and skipped, and the exit status is then 2.

    Only what changed is read again. Documents that are gone from a folder that was added are forgotten.
    """
    from rich.console import Console
    from rich.progress import Progress

    from agent.shown import visible
    from knowledge_base.store import KnowledgeBase, files_below

    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()) as progress:
        bar = progress.add_task("files", total=len(files_below(path)))

        def told(file: Path, state: str) -> None:
            progress.advance(bar)
            if state in ("added", "changed", "removed"):
                print(visible(f"{state} {file.name}"), flush=True)

        report = KnowledgeBase(chosen_home(context, home) / "knowledge").add(path, product, told)
    counts = (f"{len(getattr(report, name))} {name}" for name in ("added", "changed", "unchanged", "removed"))
    print(", ".join(counts))
    if report.skipped:
        kinds = Counter(file.suffix.lower() or "no suffix" for file in report.skipped)
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        print(visible(f"flawlens: skipped files of kinds that are not read: {listed}"), file=sys.stderr)
    for error in report.refused:
        print(f"flawlens: {error}", file=sys.stderr)
    if report.refused:
        raise typer.Exit(BAD_INPUT)


@knowledge.command("list")
def list_(context: typer.Context, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """List all entries and documents."""
    from agent.listings import print_documents, print_entries
    from knowledge_base.store import KnowledgeBase

    known = KnowledgeBase(chosen_home(context, home) / "knowledge")
    entries, documents = known.list(), known.documents()
    if as_json:
        chosen = [entry.model_dump(mode="json", exclude={"sections"}) for entry in entries]
        kept = [document.model_dump(mode="json", exclude={"format", "chunks", "cut"}) for document in documents]
        print(json.dumps([*chosen, *kept], ensure_ascii=False, indent=2))
    else:
        print_entries(entries)
        print_documents(documents)


@knowledge.command("show")
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Id of an entry, or name or key of a document.")],
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Show an entry in full, or the passages of a document with their ids."""
    from agent.listings import print_chunks, print_entry
    from knowledge_base.store import KnowledgeBase

    known = KnowledgeBase(chosen_home(context, home) / "knowledge")
    entry, chunks = known.entry(name), known.passages_of(name)
    if entry is None and not chunks:
        nothing_known(f"nothing is known as {name}; see: flawlens knowledge list")
    if as_json:
        told = entry.model_dump(mode="json") if entry else [chunk.plain() for chunk in chunks]
        print(json.dumps(told, ensure_ascii=False, indent=2))
    elif entry:
        print_entry(entry)
    else:
        print_chunks(chunks)


@knowledge.command("remove")
def remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name or key of a document, of a folder, or id of an entry you added.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Forget documents, or an entry of your own; the files that you added stay where they are."""
    from agent.shown import visible
    from knowledge_base.store import KnowledgeBase

    gone = KnowledgeBase(chosen_home(context, home) / "knowledge").remove(name)
    if not gone:
        nothing_known(f"nothing is known as {name}; see: flawlens knowledge list")
    for one in gone:
        print(visible(f"removed {one}"))


@knowledge.command("export")
def export(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A new folder.", file_okay=False)],
    home: Home = DEFAULT_HOME,
) -> None:
    """Copy the entries and documents that were added into a new folder, which `knowledge add` takes elsewhere."""
    from knowledge_base.store import KnowledgeBase

    count = KnowledgeBase(chosen_home(context, home) / "knowledge").export(folder)
    print(f"{count} files in {folder}")


@knowledge.command("rebuild")
def rebuild(context: typer.Context, home: Home = DEFAULT_HOME) -> None:
    """Make passages, vectors and index again from the kept sources, after damage or with another embedding model."""
    from knowledge_base.store import KnowledgeBase

    known = KnowledgeBase(chosen_home(context, home) / "knowledge")
    broken = known.rebuild()
    print(f"{len(known.list())} entries and {len(known.documents())} documents")
    for error in broken:
        print(f"flawlens: {error}", file=sys.stderr)
    if broken:
        raise typer.Exit(BAD_INPUT)
