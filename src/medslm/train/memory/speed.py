"""How long an optimiser step takes, well enough to compare plans with each other.

The numbers are those of one H100 and its host (`benchmarks/recipes.py`); how fast another GPU multiplies is measured on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from medslm.train.memory import filling
from medslm.train.memory.need import Choice, Job
from medslm.train.memory.shape import Shape

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

PRODUCTS, ATTENTION = 0.33, 0.03
"""Part of a pass that its forward matrix products take (the backward ones take more, with the adapters), and attention."""

OFFLOAD = 0.10
"""What copying to the host and back adds to recomputing everything."""

H100 = 784e12
"""Floating point operations a second of one large product in bfloat16 (`card.arithmetic`)."""

FLOPS = {"none": 400e12, "nf4": 400e12, "fp8": 500e12}
"""The same of a long pass with hand-written layers on that card."""

COMPOSED = 0.75
"""The same with layers that are not hand-written, as a part of it."""

LAUNCH_SECONDS = {"none": 6e-3, "nf4": 7.5e-3, "fp8": 6e-3}
"""A layer's forward and backward pass takes so long however few its tokens are: the CPU has to launch the kernels."""

COMPOSED_LAUNCH_SECONDS = 14e-3
"""The same with layers that are not hand-written."""

TAIL_SECONDS = 0.5e-3
"""What a layer adds to each pass even where arithmetic dominates: its weights are read, and each kernel ends half idle."""

DENSE_SECONDS = 1.25e-12
"""Making one NF4 weight dense: 2.5 bytes read and written at 2 TB/s, twice a pass and once more to recompute."""


@dataclass(frozen=True, eq=False)
class Batch:
    """The rows of an optimiser step on one process, in tokens."""

    lengths: Array
    """Of all training rows, ascending: nothing here depends on their order. (N,)"""

    rows: int
    """Of a step."""

    @classmethod
    def of(cls, lengths: Array, rows: int) -> Batch:
        """Batches of `rows` rows out of training rows of `lengths` tokens."""
        import numpy

        return cls(numpy.sort(lengths), min(rows, len(lengths)))

    @cached_property
    def longest(self) -> int:
        """The longest row."""
        return int(self.lengths[-1])

    @cached_property
    def expected(self) -> float:
        """All rows of a step together, on average."""
        return self.rows * float(self.lengths.mean())

    @cached_property
    def most(self) -> int:
        """All rows of a step together, if they were the longest there are."""
        return int(self.lengths[-self.rows :].sum())

    @cached_property
    def usual(self) -> int:
        """All rows of a step together, in the largest of a few that were drawn."""
        return int(self._drawn.sum(1).max())

    def fullest(self, rooms: Sequence[int]) -> list[int]:
        """The most tokens that a pass with room for each of `rooms` ever holds."""
        return filling.fullest(self.lengths, self.rows, rooms)

    def passes(self, tokens: int) -> float:
        """Passes a step at `tokens` tokens each, on average."""
        return filling.passes(self._drawn, tokens)

    @cached_property
    def _drawn(self) -> Array:
        return filling.steps(self.lengths, self.rows)


def recomputation(shape: Shape) -> tuple[float, ...]:
    """What each level adds to a pass, as a part of it: its share of the products (`medslm.models.fast.layer`)."""
    if not shape.whole_layers:
        return (0.0, *[PRODUCTS + ATTENTION] * 3)
    gate_up, down = 2 * shape.intermediate * shape.hidden, shape.intermediate * shape.hidden
    out = shape.query * shape.hidden
    joined = (shape.query + 2 * shape.key_value) * shape.hidden
    again = [part / (joined + out + gate_up + down) for part in (0, gate_up, gate_up + out, gate_up + out + joined)]
    return (*(PRODUCTS * part for part in again[:3]), PRODUCTS * again[3] + ATTENTION)


def seconds(job: Job, choice: Choice, batch: Batch, arithmetic: float = H100) -> float:
    """Seconds of an optimiser step on a GPU whose large products reach `arithmetic` operations a second."""
    shape, adds = job.shape, recomputation(job.shape)
    again = sum(adds[level] for level in choice.levels) / shape.layers + (OFFLOAD if choice.offload else 0.0)
    per_second = FLOPS[job.quantization] * arithmetic / H100 * (1 if shape.whole_layers else COMPOSED)
    launch = shape.layers * (LAUNCH_SECONDS[job.quantization] if shape.whole_layers else COMPOSED_LAUNCH_SECONDS)
    a_token = 4 * shape.multiplied / per_second  # both ways
    passes = batch.passes(choice.tokens)
    busy = max(launch, a_token * batch.expected / passes) + shape.layers * TAIL_SECONDS
    time = passes * (1 + again) * busy
    if job.quantization != "nf4":
        return time
    recomputing = sum(level > 0 for level in choice.levels) / shape.layers
    return time + passes * (2 + recomputing) * DENSE_SECONDS * shape.linear_parameters
