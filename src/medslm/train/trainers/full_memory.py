"""The memory of a run in which all weights learn, and the fastest way to compute it that fits.

The same three phases as an adapter's (`train.memory.need`), with other things in them: per weight 4 bytes of itself, 4 of
its gradient, 8 (or 2, in 8 bits) of AdamW's moments, and 2 of the 16-bit copy that autocast makes of it for a pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError
from medslm.models import fast
from medslm.models.lora import Lora
from medslm.train.memory.choice import MARGIN, MemoryPlan, Wishes, candidates
from medslm.train.memory.need import (
    GIB,
    GRADIENT_BYTES,
    HEAD_HIDDEN,
    LOGIT_COPIES,
    OPTIMIZER_BYTES,
    WHOLE_LOGIT_BYTES,
    WORKSPACE_BYTES,
    Choice,
    Job,
    peak,
)
from medslm.train.memory.shape import Shape
from medslm.train.memory.speed import H100, Batch, seconds

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

FLOAT32 = 4


@dataclass(frozen=True)
class Whole(Job):
    """A job without an adapter: every parameter learns."""

    @classmethod
    def of(cls, shape: Shape, dtype_bytes: int) -> Whole:
        """On transformers' own layers, which keep what autograd keeps, and recompute all of themselves or nothing."""
        own = replace(shape, whole_layers=False, norms_sums=False, merged=False)
        return cls(own, Lora(r=0, lora_alpha=0, target_modules=()), "none", dtype_bytes)

    @cached_property
    def trainable(self) -> int:
        """All parameters; tied ones once."""
        return self.shape.linear_parameters + self.shape.embedding_parameters + self.shape.other_parameters

    @cached_property
    def fixed(self) -> dict[str, int]:
        """Bytes that are there all the time, but the optimiser's."""
        copied = self.dtype_bytes * self.shape.linear_parameters if self.dtype_bytes < FLOAT32 else 0
        return {
            "weights": FLOAT32 * self.trainable,
            "weights, copied for their products": copied,
            "gradients": GRADIENT_BYTES * self.trainable,
            "library workspaces": WORKSPACE_BYTES,
        }

    @cached_property
    def joined(self) -> int:
        """There is no adapter to join."""
        return 0

    def head_bytes(self, tokens: int) -> int:
        """Bytes of the output head's pass if every token is predicted: logits of a slice, the head's copy, its gradient and
        what a slice adds to that."""
        from medslm.train.whole_head import SLICE

        shape = self.shape
        hidden = HEAD_HIDDEN * self.dtype_bytes * shape.hidden * tokens
        if not shape.plain_head:
            return hidden + WHOLE_LOGIT_BYTES * tokens * shape.vocabulary
        positions = min(tokens, max(256, SLICE // shape.vocabulary // 256 * 256))
        head = (2 * self.dtype_bytes + GRADIENT_BYTES) * shape.vocabulary * shape.hidden
        return hidden + head + LOGIT_COPIES * self.dtype_bytes * positions * shape.vocabulary


def plan(
    shape: Shape,
    lengths: Array,
    global_batch_size: int,
    budget_bytes: int,
    dtype_bytes: int,
    wishes: Wishes,
    arithmetic: float = H100,
) -> MemoryPlan:
    """The fastest plan that fits into `budget_bytes` with 5 % to spare; arguments as those of `memory.plan`.

    Moments are in 8 bits only if nothing fits otherwise. Raises `MedslmError`, with what is needed, if nothing fits.
    """
    job, batch = Whole.of(shape, dtype_bytes), Batch.of(lengths, global_batch_size)
    optims = [*OPTIMIZER_BYTES] if wishes.optim == "auto" else [wishes.optim]
    least = 0
    for optim in optims:
        found = [
            (seconds(job, one, batch, arithmetic), _bytes(job, one), one) for one in _choices(job, batch, wishes, optim)
        ]
        least = min(size for _, size, _ in found)
        fitting = [one for one in found if one[1] <= (1 - MARGIN) * budget_bytes]
        if fitting:
            time, predicted, chosen = min(fitting, key=lambda one: one[:2])
            phase, parts = peak(job, chosen)
            passes = batch.passes(chosen.tokens)
            how = (wishes.tokens_per_pass or chosen.tokens, chosen.levels, False, chosen.optim)
            return MemoryPlan(*how, predicted, budget_bytes, parts, phase.name, passes, time, chosen.tokens)
    raise MedslmError(
        f"training all {job.trainable / 1e9:.2f} billion weights of a {shape.model_type} on rows of up to {batch.longest} "
        f"tokens takes at least {least / (1 - MARGIN) / GIB:.2f} GiB, and {budget_bytes / GIB:.2f} GiB may be used; train "
        "an adapter (trainer=peft with a LoRA preset), choose a smaller base, or lower max_length"
    )


def _bytes(job: Whole, choice: Choice) -> int:
    return sum(peak(job, choice)[1].values())


def _choices(job: Whole, batch: Batch, wishes: Wishes, optim: str) -> Iterator[Choice]:
    """Every size of a pass that is worth a try, with nothing and with everything recomputed."""
    names = ["none", "all"] if wishes.recompute == "auto" else [wishes.recompute]
    for tokens, name in itertools.product(candidates(batch, wishes), names):
        yield Choice(tokens, (fast.LEVELS[name],) * job.shape.layers, False, optim)
