"""How a rival is measured: the clock, the tokens, the losses and the memory of any `Trainer`, whoever patched it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

GIB = 2**30


@dataclass
class Meter:
    """Watches a trainer from outside: `warmup` steps are not timed, then steps until `seconds` or `steps` are over."""

    warmup: int
    seconds: float
    steps: int
    least: int = 2
    """Timed steps there must be, however long they take."""

    losses: list[Any] = field(default_factory=list)
    """One for each forward and backward pass, on the device: nobody waits for it."""

    tokens: list[Any] = field(default_factory=list)
    """Likewise."""

    ends: list[int] = field(default_factory=list)
    """Passes that were over at the end of each step."""

    _started: float = 0.0
    _elapsed: float = 0.0

    def reset(self) -> None:
        """Forget an attempt that failed."""
        self.losses, self.tokens, self.ends = [], [], []

    def watch(self, trainer: Any) -> None:
        """Count what the trainer's steps see, and time them."""
        from transformers import TrainerCallback

        step = trainer.training_step

        def counted(model: Any, inputs: Any, *rest: Any, **options: Any) -> Any:
            self.tokens.append(real_tokens(inputs))
            loss = step(model, inputs, *rest, **options)
            self.losses.append(loss.detach())
            return loss

        trainer.training_step = counted
        meter = self

        class Clock(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                control.should_training_stop |= meter.tick()

        trainer.add_callback(Clock())

    def tick(self) -> bool:
        """A step is over; True when enough was seen."""
        self.ends.append(len(self.losses))
        timed = len(self.ends) - self.warmup
        if timed == 0:
            wait()
            self._started = time.perf_counter()
        over = timed >= self.steps or (timed >= self.least and time.perf_counter() - self._started >= self.seconds)
        if over:
            wait()
            self._elapsed = time.perf_counter() - self._started
        return over

    def result(self) -> dict[str, Any]:
        """Tokens per second, mean loss, steps and seconds of the timed part. Raises `RuntimeError` if it never ended."""
        if not self._elapsed:
            raise RuntimeError(f"the trainer stopped after {len(self.ends)} steps, before the measurement was over")
        first = self.ends[self.warmup - 1] if self.warmup else 0
        tokens, steps = sum(int(number) for number in self.tokens[first:]), len(self.ends) - self.warmup
        return {
            "tokens_per_second": tokens / self._elapsed,
            "tokens": tokens,
            "steps": steps,
            "passes": len(self.losses) - first,
            "seconds": self._elapsed,
            "loss": sum(float(loss) for loss in self.losses[first:]) / steps,
            "first_loss": sum(float(loss) for loss in self.losses[: self.ends[0]]),
        }


def real_tokens(inputs: Any) -> Any:
    """Tokens of a batch that are no padding."""
    if hasattr(inputs, "passes"):  # MedSLM's own batch
        return inputs.tokens
    if "packed_seq_lengths" in inputs:  # Unsloth's packed rows
        return inputs["packed_seq_lengths"].sum()
    mask = inputs.get("attention_mask")
    return inputs["input_ids"].numel() if mask is None else mask.sum()


def wait() -> None:
    """Until the GPU has done all it was told."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def cap(gib: float) -> None:
    """Let this process reserve no more than `gib` GiB of GPU memory; 0 lifts the limit."""
    import torch

    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, gib * GIB / total) if gib else 1.0)


def clean() -> None:
    """Give back what nobody holds, and begin to look for the peak."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peaks() -> dict[str, float | None]:
    """The most memory since `clean`, in GiB: what the allocator took from the GPU, and what tensors needed of it."""
    import torch

    if not torch.cuda.is_available():
        return {"peak_gib": None, "peak_allocated_gib": None}
    return {
        "peak_gib": torch.cuda.max_memory_reserved() / GIB,
        "peak_allocated_gib": torch.cuda.max_memory_allocated() / GIB,
    }


def ceiling(size: int = 8192, rounds: int = 5, products: int = 10) -> float | None:
    """Operations per second of a bfloat16 product of two `size` x `size` matrices of random numbers, the best round."""
    import torch

    if not torch.cuda.is_available():
        return None
    left, right = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    out = torch.empty_like(left)
    best = float("inf")
    for _ in range(rounds + 1):  # the first one chooses the kernel
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(products):
            torch.mm(left, right, out=out)
        end.record()
        end.synchronize()
        best = min(best, begin.elapsed_time(end) / 1000 / products)
    return 2 * size**3 / best
