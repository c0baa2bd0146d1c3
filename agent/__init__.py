"""flawlens from Python: what is named here stays; everything else may change."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.diagnosis import Diagnosis, Inspection, Procedure
    from agent.inspector import Inspector
    from agent.planners import make_planner

__all__ = ["Diagnosis", "Inspection", "Inspector", "Procedure", "make_planner"]
_PLACES = {
    "Diagnosis": "diagnosis",
    "Inspection": "diagnosis",
    "Inspector": "inspector",
    "Procedure": "diagnosis",
    "make_planner": "planners",
}


def __getattr__(name: str) -> Any:
    """Imports a name when it is asked for, so that `import agent` costs nothing."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"agent.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
