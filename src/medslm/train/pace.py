"""How the passes of a batch are computed: tokens at once, what is recomputed, and with less memory when it runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import torch

from medslm.errors import MedslmError
from medslm.models import fast
from medslm.train.batches import Batch
from medslm.train.execution import Execution

Result = TypeVar("Result")

EVERYTHING = fast.LEVELS["all"]
"""The level at which a layer recomputes all (`fast.recompute`)."""


@dataclass
class Done:
    """What this process has computed so far in training; kept with each checkpoint."""

    passes: int = 0

    tokens: int = 0
    """Of this process's documents."""

    room: int = 0
    """Tokens for which its passes had room."""

    backed_off: list[str] = field(default_factory=list)
    """A line for each time that the memory did not suffice."""

    def as_dict(self) -> dict[str, Any]:
        """Every field as JSON values."""
        return asdict(self)


@dataclass
class Pace:
    """How a model's passes are computed; it changes when the memory does not suffice, and what is learnt does not."""

    model: Any
    tokens_per_pass: int
    """0 is one document in each pass."""

    levels: Sequence[int]
    offload: bool
    longest: int
    """Tokens of the run's longest document, below which no pass can go."""

    done: Done = field(default_factory=Done)

    @classmethod
    def of(cls, model: Any, start: Execution, done: Done) -> Pace:
        """The pace at which a run starts, or goes on after what is `done`."""
        return cls(model, start.tokens_per_pass, start.levels, start.offload, start.longest, done)

    def compute(self, batch: Batch, compute: Callable[[Batch], Result], forget: Callable[[], None]) -> Result:
        """`compute(batch)`; where the memory does not suffice, again with less of it, until it does.

        `forget` undoes what a failed attempt has left; the random numbers are those of the first one. Raises
        `MedslmError` when the least has been tried.
        """
        while True:
            if batch.tokens_per_pass != self.tokens_per_pass:
                batch = batch.laid(self.tokens_per_pass)
            random = _random(self.model.device)
            try:
                result = compute(batch)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                # what the attempt has allocated is held by the exception, and gone after this clause
            else:
                return result
            forget()
            _restore(random, self.model.device)
            if self.model.device.type == "cuda":
                torch.cuda.empty_cache()
            self._back_off()

    def count(self, batch: Batch) -> None:
        """Note that `batch` was learnt from."""
        tokens = sum(one.tokens for one in batch.passes)
        self.done.passes += len(batch.passes)
        self.done.tokens += tokens
        self.done.room += self.tokens_per_pass * len(batch.passes) if self.tokens_per_pass else tokens

    def _back_off(self) -> None:
        """Half the tokens at once; then one level more of recomputing; then the layers' inputs on the host.

        Layers that are not written by hand recompute all or nothing, and keep their inputs where they are.
        """
        before = self.tokens_per_pass
        if before > self.longest:
            self.tokens_per_pass = max(before // 2, self.longest)
            change = f"{before:,} -> {self.tokens_per_pass:,} tokens in a pass"
        elif (lowest := min(self.levels)) < EVERYTHING:
            least = lowest + 1 if fast.layered(self.model) else EVERYTHING
            self.levels = tuple(max(level, least) for level in self.levels)
            change = f"every layer recomputes at level {least} of {EVERYTHING} or above"
        elif not self.offload and self.model.device.type == "cuda" and fast.layered(self.model):
            self.offload = True
            change = "the layers' inputs wait in the host's memory"
        else:
            raise MedslmError(
                f"{self._whose} memory does not suffice for one example of up to {self.longest:,} tokens, with everything "
                f"recomputed{' and the inputs of the layers on the host' if self.offload else ''}; lower max_length, or "
                "choose quantization=nf4, a LoRA preset of lower rank or a smaller base"
            )
        fast.recompute(self.model, self.levels, self.offload)
        self.done.backed_off.append(change)
        print(f"{self._whose} memory did not suffice: {change}; the step is computed again", flush=True)

    @property
    def _whose(self) -> str:
        return "the GPU's" if self.model.device.type == "cuda" else "this machine's"


def out_of_memory(error: BaseException) -> bool:
    """Whether memory did not suffice: torch has a class for a GPU's, and for the host's a sentence of its allocator."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "DefaultCPUAllocator" in str(error)


def _random(device: torch.device) -> list[torch.Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _restore(states: list[torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
