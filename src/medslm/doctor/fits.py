"""The planner's table: which base is trained on which GPU, by how many tokens a pass, and with which peak of memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError
from medslm.models import shapes
from medslm.models.base import resolve
from medslm.models.lora import Lora
from medslm.train import memory
from medslm.train.memory import card
from medslm.train.memory.choice import least as least  # of any job, for whoever has no shape but a job
from medslm.train.memory.need import GIB, Job

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

QUANTIZATIONS = {"nf4": "nf4", "fp8": "fp8", "none": "bf16"}
"""Of a recipe -> as it is called in the table."""

LORA = "all-linear-r16"
BATCH = 16


@dataclass(frozen=True)
class Fit:
    """One base, in one kind of weights, on one size of card; sizes in bytes."""

    base: str
    quantization: str
    gpu: str
    tokens_per_pass: int | None
    """None if it does not fit."""

    predicted: int | None
    needs: int
    """The smallest budget in which a plan is found."""

    def as_json(self) -> dict[str, Any]:
        """For a script."""
        return asdict(self)

    @property
    def told(self) -> str:
        """`8,192 in 6.1`, tokens a pass and GiB; or what it would need."""
        if self.tokens_per_pass is None or self.predicted is None:
            return f"needs {math.ceil(10 * self.needs / GIB) / 10:.1f}"
        return f"{self.tokens_per_pass:,} in {self.predicted / GIB:.1f}"


def of_shape(
    base: str, shape: memory.Shape, lora: Lora, lengths: Array, rows: int, quantizations: Iterable[str] = QUANTIZATIONS
) -> list[Fit]:
    """A base on every preset, with training rows of `lengths` tokens (N,), `rows` of them a step."""
    found: list[Fit] = []
    for quantization in quantizations:
        needs = least(Job(shape, lora, quantization, 2), int(lengths.max()))
        plan = partial(memory.plan, shape, lora, lengths, rows, quantization)
        found += on_cards(base, quantization, needs, plan)
    return found


def on_cards(base: str, quantization: str, needs: int, plan: Callable[[int], memory.MemoryPlan]) -> list[Fit]:
    """What `plan` finds for the budget of each preset."""
    found = []
    for gpu in card.PRESETS:
        try:
            planned = plan(card.preset(gpu))
        except MedslmError:  # its sentence says what `needs` says
            found.append(Fit(base, quantization, gpu, None, None, needs))
        else:
            found.append(Fit(base, quantization, gpu, planned.tokens_per_pass, planned.predicted, needs))
    return found


def table(bases: Iterable[str], lora: Lora, longest: int, rows: int = BATCH) -> tuple[list[Fit], list[str]]:
    """All fits of these bases for rows of `longest` tokens each; and the bases whose sizes are not known here."""
    import numpy

    fits: list[Fit] = []
    unknown: list[str] = []
    unread: dict[str, list[str]] = {}
    for name in bases:
        base = resolve(name)
        try:
            config = shapes.config(base)
            shape = None if config is None else memory.Shape.of(config)
        except (MedslmError, OSError, ValueError) as error:  # a lock or a file in the cache that cannot be read
            unread.setdefault(next(iter(str(error).splitlines()), type(error).__name__), []).append(name)
            continue
        if shape is None:
            unknown.append(name)
        else:
            fits += of_shape(name, shape, lora, numpy.full(rows, longest), rows)
    return fits, [*unknown, *(f"{', '.join(names)} ({reason})" for reason, names in unread.items())]


def lines(fits: Sequence[Fit]) -> list[str]:
    """Aligned: a row for each base and kind of weights, a column for each card."""
    rows: dict[tuple[str, str], list[str]] = {}
    for fit in fits:
        rows.setdefault((fit.base, QUANTIZATIONS[fit.quantization]), []).append(fit.told)
    cells = [("base", "weights", *card.PRESETS), *((*key, *told) for key, told in rows.items())]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]
