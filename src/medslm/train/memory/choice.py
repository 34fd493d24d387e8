"""Chooses the fastest way to compute a run that fits into a budget of memory, and says what it expects."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError
from medslm.models import fast
from medslm.models.lora import Lora
from medslm.train.memory.need import GIB, OPTIMIZER_BYTES, Choice, Job, peak
from medslm.train.memory.shape import Shape
from medslm.train.memory.speed import H100, Batch, seconds

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

MARGIN = 0.05
"""Part of the budget that no plan uses."""

MOST_TOKENS = 32_768
"""Longer passes are no faster: a GPU is busy with fewer. Nor are passes that hold more than a step."""

STEP, COARSE_STEP = 256, 1024
"""Sizes of passes that are tried: multiples of 256 up to 4,096 tokens, of 1,024 beyond."""

SMALL_R = 8
"""Rank that a refusal proposes."""

LEVELS = {**fast.LEVELS, "offload": fast.LEVELS["all"]}
RECOMPUTED = ("nothing", "gate and up of the MLP", "everything but attention", "everything")


@dataclass(frozen=True)
class Wishes:
    """What a recipe asks for under the same names; `auto` and 0 leave it to the planner."""

    tokens_per_pass: int = 0
    recompute: str = "auto"
    optim: str = "auto"

    @property
    def told(self) -> str:
        """`recompute=none, optim=adamw_torch_fused`; empty if nothing is asked for."""
        pairs = {"tokens_per_pass": self.tokens_per_pass, "recompute": self.recompute, "optim": self.optim}
        return ", ".join(f"{name}={value}" for name, value in pairs.items() if value not in (0, "auto"))


@dataclass(frozen=True)
class MemoryPlan:
    """What a run will do to fit, and the peak of memory that is predicted; all sizes in bytes."""

    tokens_per_pass: int
    """What a pass may hold."""

    levels: tuple[int, ...]
    """What each layer recomputes, as `medslm.models.fast.quicken` takes it."""

    offload: bool
    optim: str
    predicted: int
    """Peak of torch's allocator; the sum of `parts`."""

    budget: int
    parts: Mapping[str, int]
    phase: str
    """When the peak is reached."""

    passes: float
    """Passes per optimiser step, on average."""

    seconds: float
    """Of an optimiser step, as estimated; it serves to compare plans and promises nothing."""

    fullest: int = 0
    """Tokens of the fullest pass that whole rows of a step make, which is what is predicted; 0 if that was not asked."""

    def lines(self) -> list[str]:
        """A table to print, in GiB."""
        rows = [(name, f"{size / GIB:.2f}") for name, size in self.parts.items()]
        rows.append(("predicted peak", f"{self.predicted / GIB:.2f}"))
        width = max(len(name) for name, _ in rows)
        filled = f" ({self.fullest:,} at most, of whole rows)" if 0 < self.fullest < self.tokens_per_pass else ""
        return [
            f"{self.tokens_per_pass:,} tokens a pass{filled}, {self.passes:.1f} passes a step; {self.optim}",
            f"recomputed: {self._recomputed()}",
            *(f"  {name:<{width}}{size:>8} GiB" for name, size in rows),
            f"  in {self.phase}; {self.budget / GIB:.2f} GiB may be used",
        ]

    def _recomputed(self) -> str:
        told, first = [], 1
        for level, layers in itertools.groupby(self.levels):
            last = first + len(list(layers)) - 1
            told.append(f"{RECOMPUTED[level]} in layers {first} to {last}")
            first = last + 1
        return "; ".join(told) + (", whose inputs wait in the host's memory" if self.offload else "")


def plan(
    shape: Shape,
    lora: Lora,
    lengths: Array,
    global_batch_size: int,
    quantization: str,
    budget_bytes: int,
    dtype_bytes: int = 2,
    wishes: Wishes = Wishes(),
    arithmetic: float = H100,
) -> MemoryPlan:
    """The fastest plan that fits into `budget_bytes` with 5 % to spare.

    `lengths` (rows,) are the tokens of the training rows; `global_batch_size` counts the rows of an optimiser step on this
    process, and `arithmetic` is that of the GPU (`card.arithmetic`): a slow one had better not compute anything twice, and
    on a fast one few large passes are started sooner than many small ones.
    What is predicted is the fullest pass that whole rows of one step make. Inputs are kept in the host's memory
    only if nothing fits otherwise, and the optimiser is in 8 bits, which learns a little differently, only after that.
    Raises `MedslmError` if nothing fits or a wish cannot be met, with what would.
    """
    if not len(lengths):
        raise MedslmError(
            "there is no row to train on, so no memory can be planned; look at the mixture and max_length"
        )
    batch = Batch.of(lengths, global_batch_size)
    job = Job(shape, lora, quantization, dtype_bytes, batch.longest)
    _check(wishes, shape, batch)
    for tier in _tiers(job, wishes):
        fitting = [
            (seconds(job, choice, batch, arithmetic), size, choice)
            for size, choice in _fitting(job, tier, candidates(batch, wishes), (1 - MARGIN) * budget_bytes)
        ]
        if fitting:
            time, predicted, chosen = min(fitting, key=lambda one: one[:2])
            phase, parts = peak(job, chosen)
            passes = batch.passes(chosen.tokens)
            how = (wishes.tokens_per_pass or chosen.tokens, chosen.levels, chosen.offload, chosen.optim)
            return MemoryPlan(*how, predicted, budget_bytes, parts, phase.name, passes, time, chosen.tokens)
    raise MedslmError(_refusal(job, batch, wishes, budget_bytes))


def _bytes(job: Job, choice: Choice) -> int:
    return sum(peak(job, choice)[1].values())


def _check(wishes: Wishes, shape: Shape, batch: Batch) -> None:
    if wishes.recompute not in ("auto", *LEVELS):
        raise MedslmError(f"recompute={wishes.recompute} is unknown; choose auto, {', '.join(LEVELS)}")
    if wishes.optim not in ("auto", *OPTIMIZER_BYTES):
        raise MedslmError(f"optim={wishes.optim} is unknown; choose auto, {', '.join(OPTIMIZER_BYTES)}")
    if wishes.recompute in ("mlp", "attention-kept", "offload") and not shape.whole_layers:
        raise MedslmError(
            f"recompute={wishes.recompute} needs layers written by hand, which {shape.model_type} has not; choose none "
            "or all"
        )
    if 0 < wishes.tokens_per_pass < batch.longest:
        raise MedslmError(
            f"tokens_per_pass={wishes.tokens_per_pass} is shorter than the longest row, which has {batch.longest} tokens "
            "and is never cut; raise it, or lower max_length"
        )


def candidates(batch: Batch, wishes: Wishes) -> list[int]:
    """Tokens a pass that are worth a try, ascending: what whole rows make of the longest row, a whole step, and between."""
    if wishes.tokens_per_pass:
        return batch.fullest([wishes.tokens_per_pass])
    grid = [*range(STEP, 4096, STEP), *range(4096, MOST_TOKENS + 1, COARSE_STEP)]
    rooms = [*grid, batch.usual] if batch.usual < MOST_TOKENS else grid
    return sorted(set(batch.fullest([batch.longest, *(room for room in rooms if batch.longest < room <= batch.usual)])))


def _tiers(job: Job, wishes: Wishes) -> Iterator[list[Choice]]:
    """Groups of choices, the better group first and in each the fastest first; of passes of 0 tokens yet."""
    optims = ["adamw_torch_fused", "paged_adamw_8bit"] if wishes.optim == "auto" else [wishes.optim]
    everything = (3,) * job.shape.layers
    for optim in optims:
        if wishes.recompute != "offload":
            yield [Choice(0, levels, False, optim) for levels in _mixtures(job.shape, wishes.recompute)]
        if wishes.recompute == "offload" or (wishes.recompute == "auto" and job.shape.whole_layers):
            yield [Choice(0, everything, True, optim)]


def _mixtures(shape: Shape, recompute: str) -> list[tuple[int, ...]]:
    """Levels of the layers: one everywhere, or two neighbours.

    Layers near the input recompute more: when their turn comes in the backward pass, the others' memory is free again.
    """
    if recompute != "auto":
        return [(LEVELS[recompute],) * shape.layers]
    steps = [(1, 0), (2, 1), (3, 2)] if shape.whole_layers else [(3, 0)]
    return list(
        dict.fromkeys(
            (more,) * count + (less,) * (shape.layers - count)
            for more, less in steps
            for count in range(shape.layers + 1)
        )
    )


def _fitting(job: Job, tier: list[Choice], sizes: list[int], most: float) -> Iterator[tuple[int, Choice]]:
    """For each of the ascending `sizes`, the first of the tier that fits into `most` bytes, with its bytes."""
    for tokens in sizes:
        choices = (replace(choice, tokens=tokens) for choice in tier)
        found = next(((size, one) for one in choices if (size := _bytes(job, one)) <= most), None)
        if found is None:
            return  # nor would any larger one
        yield found


def least(job: Job, tokens: int, wishes: Wishes = Wishes()) -> int:
    """The smallest budget in bytes that a plan is found for, if the longest row, or the fullest pass wished for, has
    `tokens` tokens."""
    choices = (replace(choice, tokens=tokens) for tier in _tiers(job, wishes) for choice in tier)
    job = replace(job, longest=min(job.longest or tokens, tokens))
    return math.ceil(min(_bytes(job, choice) for choice in choices) / (1 - MARGIN))


def _refusal(job: Job, batch: Batch, wishes: Wishes, budget_bytes: int) -> str:
    """What is needed, and what would need less."""
    longest = batch.longest
    need, freely = least(job, candidates(batch, wishes)[0], wishes), least(job, longest)
    asked = f" with {wishes.told}" if wishes.told else ""
    base = f"a {job.shape.model_type} of {job.shape.linear_parameters / 1e9:.2f} billion weights"
    row = f"a row of {longest} tokens on {base}{asked}"
    told = f"{row} takes at least {_gib(need)} to train, and {_gib(budget_bytes)} may be used"
    if wishes.told and freely <= budget_bytes:
        return f"{told}; left at auto it takes {_gib(freely)}"
    ways = [f"halve max_length ({_gib(least(job, max(1, longest // 2)))})", "choose a smaller base"]
    if job.quantization != "nf4":
        ways.insert(0, f"set quantization=nf4 ({_gib(least(replace(job, quantization='nf4'), longest))})")
    if job.lora.r > SMALL_R:
        small = replace(job, lora=replace(job.lora, r=SMALL_R))
        ways.append(f"choose a LoRA of r={SMALL_R} ({_gib(least(small, longest))})")
    return f"{told}; {', or '.join(ways)}"


def _gib(size: int) -> str:
    """Rounded up, so that what a message asks for suffices."""
    return f"{math.ceil(100 * size / GIB) / 100:.2f} GiB"
