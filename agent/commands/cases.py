"""`flawlens feedback` and `flawlens cases`: what operators say of inspections, and what is remembered of it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from agent.commands.options import DEFAULT_HOME, AsJson, Home, chosen_home, nothing_known
from tools.cases import Word

cases = typer.Typer(help="Inspections that an operator confirmed or corrected.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Id of the case, which is that of its run.")]


def feedback(
    context: typer.Context,
    run_id: Annotated[str, typer.Argument(help="Id of the run, or its beginning.")],
    verdict: Annotated[Word, typer.Option(help="What the part really is.")],
    type_: Annotated[str, typer.Option("--type", help="What the defect really is.")] = "",
    note: Annotated[str, typer.Option(help="Anything the next inspection should be told.")] = "",
    home: Home = DEFAULT_HOME,
) -> None:
    """Confirm or correct a diagnosis; later inspections of the product recall it."""
    from agent.feedback import remember
    from agent.shown import visible
    from agent.trace import read_run
    from tools.cases.store import Cases

    place = chosen_home(context, home)
    case = remember(Cases(place / "cases"), read_run(place / "runs", run_id), verdict, type_, note)
    print(visible(f"{case.outcome}: {case.product or 'no product'}, run {case.id}"))
    if case.outcome == "wrong alarm":
        print(_recognition(sum(mark.needed is not None for mark in case.marks), len(case.marks)))


@cases.command("list")
def list_(context: typer.Context, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """List cases, newest first."""
    from agent.listings import print_cases
    from tools.cases.store import Cases

    found = Cases(chosen_home(context, home) / "cases").list()
    if as_json:
        told = [{**case.model_dump(mode="json"), "outcome": case.outcome} for case in found]
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        print_cases(found)


@cases.command("show")
def show(context: typer.Context, case_id: Id, as_json: AsJson = False, home: Home = DEFAULT_HOME) -> None:
    """Show one case: what was found, what the agent and the operator said, and what is recognised again."""
    from agent.listings import print_case
    from tools.cases.store import Cases

    found = Cases(chosen_home(context, home) / "cases").one(case_id)
    if found is None:
        nothing_known(f"there is no case {case_id}; see: flawlens cases list")
    if as_json:
        print(json.dumps(found.model_dump(mode="json"), ensure_ascii=False, indent=2))
    else:
        print_case(found)


@cases.command("forget")
def forget(context: typer.Context, case_id: Id, home: Home = DEFAULT_HOME) -> None:
    """Forget a case; its run stays."""
    from tools.cases.store import Cases

    if not Cases(chosen_home(context, home) / "cases").forget(case_id):
        nothing_known(f"there is no case {case_id}; see: flawlens cases list")
    print(f"forgot {case_id}")


def _recognition(recognised: int, marks: int) -> str:
    if recognised:
        return f"{recognised} of {marks} marks will be recognised; no defect pasted on the good parts passes for them"
    return (
        f"none of {marks} marks will be recognised: there are no good parts to compare with, or defects pasted on them"
        " pass for it; the case is told as evidence all the same"
    )
