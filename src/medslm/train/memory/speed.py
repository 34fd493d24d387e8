"""How long an optimiser step takes, well enough to compare plans with each other: the numbers are those of one H100."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medslm.train.memory.need import Choice, Job
from medslm.train.memory.shape import Shape

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

PRODUCTS, ATTENTION = 0.33, 0.03
"""Part of a pass that its forward matrix products take (the backward ones take more, with the adapters), and attention."""

OFFLOAD = 0.10
"""What copying to the host and back adds to recomputing everything."""

FLOPS = {"none": 400e12, "nf4": 400e12, "fp8": 500e12}
"""Floating point operations a second of a long pass with hand-written layers."""

COMPOSED = 0.75
"""The same with layers that are not hand-written, as a part of it."""

LAUNCH_SECONDS = 3e-3
"""A layer's forward and backward pass takes so long however few its tokens are: the CPU has to launch the kernels."""

COMPOSED_LAUNCH_SECONDS = 14e-3
"""The same with layers that are not hand-written."""

TAIL_SECONDS = 0.5e-3
"""What a layer adds to each pass even where arithmetic dominates: its weights are read, and each kernel ends half idle."""

DENSE_SECONDS = 1.25e-12
"""Making one NF4 weight dense: 2.5 bytes read and written at 2 TB/s, twice a pass and once more to recompute."""


@dataclass(frozen=True)
class Batch:
    """The rows of an optimiser step on one process, in tokens."""

    longest: int
    mean: float
    expected: float
    """All rows of a step together, on average."""

    most: int
    """All rows of a step together, if they were the longest there are."""

    @classmethod
    def of(cls, lengths: Array, rows: int) -> Batch:
        """Batches of `rows` rows out of training rows of `lengths` tokens."""
        import numpy

        longest = numpy.sort(lengths)[::-1][:rows]
        mean = float(lengths.mean())
        return cls(int(longest[0]), mean, rows * mean, int(longest.sum()))

    def passes(self, tokens: int) -> float:
        """Passes a step at `tokens` tokens each, on average; whole rows leave half a row of each free."""
        return max(1.0, self.expected / max(tokens - self.mean / 2, self.mean))


def recomputation(shape: Shape) -> tuple[float, ...]:
    """What each level adds to a pass, as a part of it: its share of the products (`medslm.models.fast.layer`)."""
    if not shape.whole_layers:
        return (0.0, *[PRODUCTS + ATTENTION] * 3)
    gate_up, down = 2 * shape.intermediate * shape.hidden, shape.intermediate * shape.hidden
    out = shape.query * shape.hidden
    joined = (shape.query + 2 * shape.key_value) * shape.hidden
    again = [part / (joined + out + gate_up + down) for part in (0, gate_up, gate_up + out, gate_up + out + joined)]
    return (*(PRODUCTS * part for part in again[:3]), PRODUCTS * again[3] + ATTENTION)


def seconds(job: Job, choice: Choice, batch: Batch) -> float:
    """Seconds of an optimiser step."""
    shape, adds = job.shape, recomputation(job.shape)
    again = sum(adds[level] for level in choice.levels) / shape.layers + (OFFLOAD if choice.offload else 0.0)
    per_second = FLOPS[job.quantization] * (1 if shape.whole_layers else COMPOSED)
    launch = shape.layers * (LAUNCH_SECONDS if shape.whole_layers else COMPOSED_LAUNCH_SECONDS)
    arithmetic = 4 * (shape.linear_parameters + shape.hidden * shape.vocabulary) / per_second  # a token, both ways
    passes = batch.passes(choice.tokens)
    busy = max(launch, arithmetic * batch.expected / passes) + shape.layers * TAIL_SECONDS
    time = passes * (1 + again) * busy
    if job.quantization != "nf4":
        return time
    recomputing = sum(level > 0 for level in choice.levels) / shape.layers
    return time + passes * (2 + recomputing) * DENSE_SECONDS * shape.linear_parameters
