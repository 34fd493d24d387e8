"""How a run is computed on this machine: as its recipe says, and where it says nothing as the memory allows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy

from medslm.errors import MedslmError
from medslm.models import fast, load, nf4
from medslm.models.base import resolve
from medslm.models.lora import loras
from medslm.recipe import Sft
from medslm.train import memory
from medslm.train.memory.choice import LEVELS
from medslm.train.trainers import early, full_memory

if TYPE_CHECKING:
    Array = numpy.ndarray[Any, Any]

CPU_TOKENS = 2048
"""Tokens of a pass on a CPU (`benchmarks/cpu_step.py`)."""

EIGHT_BIT = "paged_adamw_8bit"


@dataclass(frozen=True)
class Execution:
    """How a run is computed; nothing of it decides what is learnt."""

    tokens_per_pass: int
    """0 is one example in each pass."""

    levels: tuple[int, ...]
    """What each layer recomputes (`fast.recompute`)."""

    offload: bool
    optim: str
    longest: int
    """Tokens of the longest example, for training or validation."""

    memory: memory.MemoryPlan | None = None
    """The plan for the GPU; none on a CPU."""

    @property
    def lines(self) -> list[str]:
        """What is said of it before the run."""
        if self.memory:
            return self.memory.lines()
        return [f"{self.tokens_per_pass:,} tokens a pass" if self.tokens_per_pass else "one example a pass"]

    def as_dict(self) -> dict[str, Any]:
        """What `run.json` keeps of it."""
        return asdict(self)


def require(recipe: Sft) -> None:
    """Raise `MedslmError` for what the recipe asks of a machine or a base that is not so; no row is needed to know it."""
    if recipe.quantization == "fp8":
        fast.require_fp8(load.dtype(recipe.dtype))
    if recipe.quantization == "nf4":
        nf4.config(load.dtype(recipe.dtype))
    if load.device() == "cpu":
        needs_gpu = {"gpu": recipe.gpu != "auto", "optim": recipe.optim == EIGHT_BIT}
        needs_gpu |= {"recompute": recipe.recompute == "offload"}
        for name in (name for name, needed in needs_gpu.items() if needed):
            asked = f"{name}={getattr(recipe, name)}"
            raise MedslmError(f"{asked} needs a CUDA GPU and there is none; leave {name} at auto on a CPU")
    elif recipe.gpu != "auto":
        memory.budget(recipe.gpu)
    _require_trainer(recipe)
    by_hand = recipe.recompute in ("mlp", "attention-kept", "offload")
    if by_hand and not (shape := _shape(recipe)).whole_layers:
        raise MedslmError(
            f"recompute={recipe.recompute} needs layers written by hand, which {_whose(recipe, shape)} has not; choose "
            "none or all"
        )


def _whose(recipe: Sft, shape: memory.Shape) -> str:
    own = "trainer=full" if recipe.trainer == "full" else f"lora={recipe.lora}" if loras[recipe.lora].use_dora else ""
    return own or shape.model_type


def _require_trainer(recipe: Sft) -> None:
    if recipe.trainer == "unsloth":
        early.require(recipe)
    if loras[recipe.lora].mutates_base and recipe.quantization != "none":
        raise MedslmError(
            f"lora={recipe.lora} is PiSSA, which takes the base's largest directions out of its weights, and those of "
            f"quantization={recipe.quantization} cannot be changed; set quantization=none, or choose another LoRA preset"
        )


def choose(recipe: Sft, train: Array, validation: Array, share: int, begun: str | None = None) -> Execution:
    """The execution for rows of these lengths (N,), (M,), of which each step takes `share` on this process.

    What `require` refuses was refused before. `begun` is the optimiser whose state is in the checkpoint that the run goes
    on from. Raises `MedslmError` for passes without room for the longest example, for an optimiser that is not the begun
    one, for an example that the base cannot read whole, and if nothing fits into the GPU.
    """
    longest = int(max(train.max(), validation.max()))
    if 0 < recipe.tokens_per_pass < longest:
        raise MedslmError(
            f"tokens_per_pass={recipe.tokens_per_pass} has no room for the longest example, of {longest} tokens, and none "
            f"is ever cut; make it {longest} or more, or lower max_length, which is {recipe.max_length}"
        )
    _require_positions(recipe, longest)
    optim = _optim(recipe, begun)
    if recipe.trainer == "unsloth":
        return _unsloths_own(recipe, optim, longest)
    if load.device() == "cpu":
        room = max(recipe.tokens_per_pass or CPU_TOKENS, longest) if recipe.packing else 0
        level = 0 if recipe.recompute == "auto" else LEVELS[recipe.recompute]
        return Execution(room, (level,) * _shape(recipe).layers, False, "adamw_torch_fused", longest)
    budget = memory.budget(recipe.gpu)
    wishes = memory.Wishes(recipe.tokens_per_pass if recipe.packing else longest, recipe.recompute, optim)
    shape, each, speed = _shape(recipe), load.dtype(recipe.dtype).itemsize, memory.arithmetic()
    rows = train if longest == train.max() else numpy.append(train, longest)  # passes have room for it as well
    if recipe.trainer == "full":
        planned = full_memory.plan(shape, rows, share, budget, each, wishes, speed)
    else:
        planned = memory.plan(shape, loras[recipe.lora], rows, share, recipe.quantization, budget, each, wishes, speed)
    if recipe.gpu != "auto":
        memory.limit(budget)
    room = max(planned.tokens_per_pass, longest) if recipe.packing else 0
    return Execution(room, planned.levels, planned.offload, planned.optim, longest, planned)


def _unsloths_own(recipe: Sft, optim: str, longest: int) -> Execution:
    """Unsloth lays out its own batches, and plans no memory; a preset of a card limits it all the same."""
    if recipe.gpu != "auto":
        memory.limit(memory.budget(recipe.gpu))
    return Execution(0, (), False, "adamw_torch_fused" if optim == "auto" else optim, longest)


def _optim(recipe: Sft, begun: str | None) -> str:
    """The optimiser that a run was begun with, or that the recipe asks for."""
    if begun is None:
        return recipe.optim
    if recipe.optim not in ("auto", begun):
        raise MedslmError(
            f"this run was begun with optim={begun} and cannot go on with {recipe.optim}; leave optim at auto, or give "
            "the run another --name"
        )
    if begun == EIGHT_BIT and load.device() == "cpu":
        raise MedslmError(
            f"this run was begun with optim={begun}, which needs a CUDA GPU, and there is none; go on with it on a "
            "machine that has one, or give the run another --name"
        )
    return begun


def _require_positions(recipe: Sft, longest: int) -> None:
    """Raise `MedslmError` for an example that is longer than the base can count its tokens."""
    room = load.positions(load.config(resolve(recipe.base)))
    if room is not None and longest > room:
        raise MedslmError(
            f"the longest example has {longest:,} tokens and {recipe.base} reads {room:,}; set max_length={room}, or "
            "choose a base that reads more"
        )


def _shape(recipe: Sft) -> memory.Shape:
    """Of the base, whose layers are transformers' own where all weights learn, and around DoRA."""
    whole = load.config(resolve(recipe.base))
    shape = memory.Shape.of(whole.get_text_config())  # of a model that sees as well, the part that is trained
    if recipe.trainer == "full" or loras[recipe.lora].use_dora:
        return replace(shape, whole_layers=False, norms_sums=False, merged=False)
    return shape
