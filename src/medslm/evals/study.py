"""Studies: what is measured beyond single items, from the answers that were kept or by asking the model more."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError

if TYPE_CHECKING:
    from medslm.evals.harness import Outcome
    from medslm.evals.respondent import Respondent
    from medslm.infer.likelihoods import Side

MODULES = {
    "uncertainty": "medslm.evals.trust.uncertainty",
    "entropy": "medslm.evals.trust.entropy",
    "hallucination": "medslm.evals.trust.hallucination",
    "safety": "medslm.evals.trust.safety",
    "bias": "medslm.evals.trust.bias",
    "stability": "medslm.evals.trust.stability",
    "privacy": "medslm.evals.trust.privacy",
    "cost": "medslm.evals.trust.cost",
    "coding": "medslm.evals.clinical.coding",
    "similarity": "medslm.evals.clinical.similarity",
    "cases": "medslm.evals.clinical.cases",
    "consistency": "medslm.evals.clinical.consistency",
    "judge": "medslm.evals.judge.study",
}
"""Study -> the module that holds it as `STUDY`; imported when a suite names it."""

INSIDE = {
    "privacy": "it needs the log-probability of each token of a text",
    "cost": "it times the model itself, and its merged weights",
}
"""Study -> why it needs a model in this process."""


@dataclass(frozen=True)
class Case:
    """What a study looks at: base and adapter under one protocol, after all tasks of the suite were answered."""

    outcomes: Mapping[str, Mapping[str, Sequence[Outcome]]]
    """Side (`base`, `adapter`) -> task -> the outcome of every item, in one order for both sides."""

    engine: Respondent
    sides: Mapping[str, Side]
    """Side -> the context in which the engine is that side."""

    folder: Path
    """Where answers and pictures of this protocol are kept; what a study asks itself it keeps here, to resume from."""

    run: Path
    record: Mapping[str, Any]
    """`run.json`"""

    limit: int | None
    """Items a task, or all."""


@dataclass(frozen=True)
class Study:
    """How something is measured, and told."""

    measure: Callable[[Case], Mapping[str, Any]]
    """What goes into `scores.json`, as JSON; every figure with n and a 95 % interval."""

    text: Callable[[Mapping[str, Any]], str]
    """The same as aligned lines for a terminal, the verdict in words, without a newline at the end."""


def find(name: str) -> Study:
    """The study of that name. Raises `MedslmError` if there is none."""
    if name not in MODULES:
        raise MedslmError(f"no study is called '{name}'; known: {', '.join(MODULES)}")
    found: Study = importlib.import_module(MODULES[name]).STUDY
    return found
