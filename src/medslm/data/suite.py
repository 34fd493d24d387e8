"""A suite: the tasks that judge a run, and what is measured in each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from medslm.errors import MedslmError

Form = Literal["asked", "shuffled", "reasoned", "continued"]
"""How an item is put: as training writes it; with its options in another order; to be thought about in writing first; or
without its options, each of which is a way to go on."""

Unit = Literal["share", "value"]
"""Of a metric: something that holds (1) or does not (0) for an item, or any number."""


ROUNDING = 1e-9
"""A mean of many parts may lie so far beyond its bounds."""


@dataclass(frozen=True)
class Metric:
    """What is measured of each answer; an item for which it is undefined has none, and does not count."""

    name: str
    """As in the task's YAML and in `scores.json`."""

    label: Callable[[Any], str] | None = None
    """Key -> what has to be guessed, for the score of always giving the most frequent answer; none without a guess."""

    higher_is_better: bool = True

    unit: Unit = "share"
    """Shares are told in per cent, with Wilson's interval and McNemar's test; values as they are, with a bootstrap."""

    bounds: tuple[float, float] = (0.0, 1.0)
    """What it can be for an item, and its mean: no interval leaves them, and another value stops the evaluation."""

    def forbids(self, value: float) -> str | None:
        """Why it cannot have this value, if it cannot."""
        least, most = self.bounds
        if not math.isfinite(value):
            return f"unit is {self.unit}: leave it out where it is undefined"
        if self.unit == "share" and value not in (0, 1):
            return "unit is share: 0 or 1; call its unit 'value'"
        if not least - ROUNDING <= value <= most + ROUNDING:
            return f"bounds are {least:g} and {most:g}: give the suite's record of it others"
        return None


@dataclass(frozen=True)
class Task:
    """Questions of one benchmark, asked in one way: `tasks/<name>.yaml` says how lm-eval runs them."""

    name: str
    """The task's name in lm-eval."""

    benchmark: str
    """Where the items come from (`medslm list benchmarks`)."""

    metrics: tuple[Metric, ...]
    """What is measured; the first is the primary one, which heads the model card."""

    form: Form = "asked"

    again: str = ""
    """The task whose items this one asks again, so that the two answers to an item can be compared."""

    subject: str = ""
    """The column of the benchmark's rows that names an item's subject, where scores by subject are wanted."""

    @property
    def primary(self) -> str:
        """The metric that stands for the task."""
        return self.metrics[0].name


@dataclass(frozen=True)
class Suite:
    """Tasks that are always run together. Raises `MedslmError` for one that asks again what was not asked."""

    tasks: tuple[Task, ...]

    studies: tuple[str, ...] = ()
    """What is measured beyond single items (`medslm.evals.study`)."""

    def __post_init__(self) -> None:
        names = {task.name for task in self.tasks}
        if lost := [task.name for task in self.tasks if task.again and task.again not in names]:
            raise MedslmError(f"{', '.join(lost)} asks again what no task of the suite asks; add that task")

    @property
    def stages(self) -> tuple[tuple[Task, ...], ...]:
        """What can be asked at once, then what asks again."""
        first = tuple(task for task in self.tasks if not task.again)
        again = tuple(task for task in self.tasks if task.again)
        return (first, again) if again else (first,)


def whole(key: str) -> str:
    """The key itself is what has to be guessed (`Metric.label`)."""
    return key
