"""A diagnosis and a run in a few lines, for an agent that reads no structure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.trace import Run
    from tools.profiles import Profile


def diagnosis_in_words(found: Mapping[str, Any]) -> str:
    """Verdict, defects, what to do, why, and the evidence."""
    return "\n".join(_lines(found))


def run_in_words(run: Run) -> str:
    """How a run stands, and its diagnosis where there is one."""
    stands = f"run {run.id}: {run.status}{f' ({run.error})' if run.error else ''}, {len(run.events)} steps"
    return f"{stands}\n{diagnosis_in_words(run.diagnosis)}" if run.diagnosis else f"{stands}, no diagnosis"


def product_in_words(profile: Profile) -> str:
    """What is known of an enrolled product."""
    scale = f", {profile.mm_per_pixel} mm per pixel" if profile.mm_per_pixel else ""
    return f"{profile.name}: {len(profile.normals)} good parts, {profile.made_with}{scale}"


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    scores = [f"{name} {value:.2f}" for name, value in found["scores"].items() if value is not None]
    probability = f"; probability of a defect: {', '.join(scores)}" if scores else ""
    yield f"{found['verdict']}, confidence {found['confidence']:.2f}, outcome {found['outcome']}{probability}"
    if found["answer"]:
        yield f"answer: {found['answer']}"
    yield from (f"less trust: {reason}" for reason in found["degraded"])
    yield from (_defect(number, one) for number, one in enumerate(found["defects"], start=1))
    yield f"what to do: {found['repair']['disposition']}"
    yield from (f"- {action}" for action in found["repair"]["actions"])
    yield from (f"{name}: {found[key]}" for name, key in (("why", "summary"), ("against", "against")) if found[key])
    yield from (f"{item['id']} {item['tool']}: {item['finding']}" for item in found["evidence"])


def _defect(number: int, one: Mapping[str, Any]) -> str:
    box = [round(edge) for edge in one["box"]]
    where = f"{one['place']}, box {box}"
    return f"defect {number}: {one['type']} ({one['severity']}, {where}): {one['appearance']} {one['evidence']}"
