"""How a run is computed on this machine: as its recipe says, and where it says nothing as the memory allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from transformers import AutoConfig

from medslm.errors import MedslmError
from medslm.models import load, source
from medslm.models.base import resolve
from medslm.models.lora import loras
from medslm.recipe import Sft
from medslm.train import memory
from medslm.train.memory.choice import LEVELS

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

CPU_TOKENS = 2048
"""Tokens of a pass on a CPU (`benchmarks/cpu_step.py`)."""


@dataclass(frozen=True)
class Way:
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


def choose(recipe: Sft, train: Array, validation: Array, share: int, earlier: Mapping[str, Any] | None = None) -> Way:
    """The way for rows of these lengths (N,), (M,), of which each step takes `share` on this process.

    `earlier` is the record of the start that this one resumes: its optimiser's state is in the checkpoint. Raises
    `MedslmError` for passes without room for the longest example, for what this machine or this base does not have, for
    an optimiser that is not the earlier one, and if nothing fits into the GPU.
    """
    longest = int(max(train.max(), validation.max()))
    if 0 < recipe.tokens_per_pass < longest:
        raise MedslmError(
            f"tokens_per_pass={recipe.tokens_per_pass} has no room for the longest example, of {longest} tokens, and none "
            f"is ever cut; make it {longest} or more, or lower max_length, which is {recipe.max_length}"
        )
    optim = _begun(recipe, earlier)
    config = AutoConfig.from_pretrained(source.find(resolve(recipe.base)).folder)
    if load.device() == "cpu":
        return _on_cpu(recipe, memory.Shape.of(config), longest, optim)
    budget = memory.budget(recipe.gpu)
    planned = memory.plan(
        memory.Shape.of(config),
        loras[recipe.lora],
        train,
        share,
        recipe.quantization,
        budget,
        load.dtype(recipe.dtype).itemsize,
        memory.Wishes(recipe.tokens_per_pass if recipe.packing else longest, recipe.recompute, optim),
    )
    if recipe.gpu != "auto":
        memory.limit(budget)
    room = max(planned.tokens_per_pass, longest) if recipe.packing else 0
    return Way(room, planned.levels, planned.offload, planned.optim, longest, planned)


def _begun(recipe: Sft, earlier: Mapping[str, Any] | None) -> str:
    """The optimiser that a run was begun with, or that the recipe asks for."""
    begun = earlier["speed"]["optim"] if earlier else recipe.optim
    if recipe.optim not in ("auto", begun):
        raise MedslmError(
            f"this run was begun with optim={begun} and cannot go on with {recipe.optim}; leave optim at auto, or give "
            "the run another --name"
        )
    return str(begun)


def _on_cpu(recipe: Sft, shape: memory.Shape, longest: int, optim: str) -> Way:
    """Without a card there is no memory to plan; what only a GPU can do is refused."""
    asked = {"gpu": recipe.gpu, "optim": optim, "recompute": recipe.recompute}
    cuda = {
        "gpu": recipe.gpu != "auto",
        "optim": optim == "paged_adamw_8bit",
        "recompute": asked["recompute"] == "offload",
    }
    for name in (name for name, only in cuda.items() if only):
        raise MedslmError(f"{name}={asked[name]} needs a CUDA GPU and there is none; leave {name} at auto on a CPU")
    if recipe.recompute in ("mlp", "attention-kept") and not shape.whole_layers:
        raise MedslmError(
            f"recompute={recipe.recompute} needs layers written by hand, which {shape.model_type} has not; choose none "
            "or all"
        )
    room = max(recipe.tokens_per_pass or CPU_TOKENS, longest) if recipe.packing else 0
    level = 0 if recipe.recompute == "auto" else LEVELS[recipe.recompute]
    return Way(room, (level,) * shape.layers, False, "adamw_torch_fused", longest)
