"""How far the memory plan is from what a GPU measures, and what fits into less memory than it has.

    python benchmarks/memory.py --json memory.json                  # predicted beside measured
    python benchmarks/memory.py --only llama-3.2-3b-instruct    # one base
    python benchmarks/memory.py --capped --json capped.json         # three recipes in 4, 8 and 20 GiB, enforced

Bases have random weights, since memory and speed do not depend on them. Each combination takes two optimiser steps of two
passes: in the second pass the gradients of the first are there, in the second step the optimiser's moments are. The peak
is torch's own count; `reserved` is what the allocator holds and what a budget limits, `allocated` what is in use.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medslm import environment

environment.prepare()  # before torch reads how its allocator is to work
environment.quiet()

import bitsandbytes  # noqa: E402
import numpy  # noqa: E402
import torch  # noqa: E402
from rivals.bases import random_base  # noqa: E402

from medslm.models import attention, fast, load, shapes  # noqa: E402
from medslm.models.base import resolve  # noqa: E402
from medslm.models.lora import Lora  # noqa: E402
from medslm.models.passes import Pass, lay  # noqa: E402
from medslm.train import memory  # noqa: E402
from medslm.train.memory import need  # noqa: E402

GIB = 2**30
BASES = ("tinyllama-1.1b-chat", "llama-3.2-1b-instruct", "llama-3.2-3b-instruct", "qwen3-4b", "gemma-3-1b-it")


@dataclass(frozen=True)
class Combination:
    """What is measured once."""

    base: str
    quantization: str
    r: int
    tokens: int
    levels: tuple[int, ...]
    """Of the layers; a shorter tuple is repeated from its start, each entry for as many layers."""

    offload: bool = False
    optim: str = "adamw_torch_fused"

    def choice(self, layers: int) -> need.Choice:
        """The levels spread over `layers` layers."""
        spread = tuple(self.levels[index * len(self.levels) // layers] for index in range(layers))
        return need.Choice(self.tokens, spread, self.offload, self.optim)


COMBINATIONS = (
    Combination("tinyllama-1.1b-chat", "nf4", 24, 448, (0,)),
    Combination("tinyllama-1.1b-chat", "nf4", 24, 2048, (0,)),
    Combination("tinyllama-1.1b-chat", "nf4", 16, 8192, (1, 0)),
    Combination("tinyllama-1.1b-chat", "none", 16, 16_384, (0,)),
    Combination("llama-3.2-1b-instruct", "none", 16, 8192, (2,)),
    Combination("llama-3.2-1b-instruct", "fp8", 64, 8192, (0,)),
    Combination("llama-3.2-3b-instruct", "nf4", 16, 2048, (1,)),
    Combination("llama-3.2-3b-instruct", "nf4", 16, 2048, (3,), offload=True),
    Combination("llama-3.2-3b-instruct", "nf4", 64, 8192, (0,)),
    Combination("llama-3.2-3b-instruct", "nf4", 64, 8192, (2, 1)),
    Combination("llama-3.2-3b-instruct", "nf4", 64, 16_384, (3,), optim="paged_adamw_8bit"),
    Combination("llama-3.2-3b-instruct", "none", 16, 16_384, (0,)),
    Combination("llama-3.2-3b-instruct", "fp8", 16, 16_384, (1,)),
    Combination("qwen3-4b", "nf4", 16, 4096, (0,)),
    Combination("qwen3-4b", "none", 16, 8192, (3, 2)),
    Combination("gemma-3-1b-it", "nf4", 16, 4096, (0,)),
    Combination("gemma-3-1b-it", "none", 16, 8192, (3,)),
)

CAPPED = (  # base, r, longest row, GiB, examples a step
    ("tinyllama-1.1b-chat", 24, 448, 4, 8),
    ("llama-3.2-3b-instruct", 16, 2048, 8, 16),
    ("llama-3.2-3b-instruct", 64, 2048, 20, 64),
)


def config(base: str) -> Any:
    """The base's configuration, as it is published."""
    return shapes.published(resolve(base).hub_id)


def prepared(base: str, quantization: str, lora: Lora, choice: need.Choice) -> Any:
    """The model as a run trains it."""
    model = load.with_new_adapter(random_base(config(base), quantization, torch.bfloat16), lora).train()
    attention.use(model)
    switched = fast.quicken(model, list(choice.levels), choice.offload, fp8=quantization == "fp8")
    print(f"# {base} {quantization}: {', '.join(f'{name} {how}' for name, how in switched.items())}", file=sys.stderr)
    return model


def optimizer(model: Any, optim: str) -> torch.optim.Optimizer:
    """The one that a run of that name has."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if optim == "paged_adamw_8bit":
        return bitsandbytes.optim.PagedAdamW8bit(parameters, lr=1e-4)
    return torch.optim.AdamW(parameters, lr=1e-4, fused=True)


def passes(tokens: int, longest: int, vocabulary: int, random: numpy.random.Generator) -> Iterator[Pass]:
    """Endless passes of exactly `tokens` tokens in random documents, all of whose tokens carry loss."""
    while True:
        documents, left = [], tokens
        while left:
            drawn = int(numpy.clip(random.lognormal(numpy.log(420), 0.75), 32, longest))
            length = left if left < drawn + 32 and left <= longest else min(drawn, left)
            row = random.integers(0, vocabulary, length)
            documents.append((row, row))
            left -= length
        yield lay(documents).pinned().to("cuda")


def step(model: Any, adam: torch.optim.Optimizer, row: Iterator[Pass], number: int) -> None:
    """One optimiser step over `number` passes."""
    for _ in range(number):
        one = next(row)
        (fast.total_loss(model, one) / len(one.targets) / number).backward()
    torch.nn.utils.clip_grad_norm_([one for one in model.parameters() if one.requires_grad], 1.0)
    adam.step()
    adam.zero_grad()


def peaks(model: Any, choice: need.Choice, longest: int, number: int = 2, steps: int = 2) -> tuple[int, int, float]:
    """Bytes reserved and allocated at most, and seconds of the last step."""
    adam = optimizer(model, choice.optim)
    row = passes(choice.tokens, longest, model.config.get_text_config().vocab_size, numpy.random.default_rng(0))
    collect()
    torch.cuda.reset_peak_memory_stats()
    for _ in range(steps):
        torch.cuda.synchronize()
        start = time.perf_counter()
        step(model, adam, row, number)
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    return torch.cuda.max_memory_reserved(), torch.cuda.max_memory_allocated(), seconds


def collect() -> None:
    """Give back what nobody holds."""
    gc.collect()
    torch.cuda.empty_cache()


HEAD = (
    f"{'base':<24}{'base in':<8}{'r':>4}{'tokens':>8}  {'levels':<9}{'predicted':>10}{'reserved':>10}{'error':>8}"
    f"{'allocated':>11}  peak in"
)


def measure(asked: Combination) -> dict[str, Any]:
    """Predict, run, print, and give the record."""
    counted, lora = memory.Shape.of(config(asked.base)), Lora(asked.r, 2 * asked.r)
    choice = asked.choice(counted.layers)
    phase, parts = need.peak(need.Job(counted, lora, asked.quantization), choice)
    collect()
    reserved, allocated, seconds = peaks(prepared(asked.base, asked.quantization, lora, choice), choice, 2048)
    predicted = sum(parts.values())
    error = predicted / reserved - 1
    levels = ",".join(map(str, asked.levels)) + ("+host" if asked.offload else "")
    print(
        f"{asked.base:<24}{asked.quantization:<8}{asked.r:>4}{asked.tokens:>8,}  {levels:<9}{predicted / GIB:>10.2f}"
        f"{reserved / GIB:>10.2f}{error:>+8.1%}{allocated / GIB:>11.2f}  {phase.name}",
        flush=True,
    )
    measured = {"predicted": predicted, "reserved": reserved, "allocated": allocated, "seconds": seconds}
    return {**asdict(asked), **measured, "error": error, "phase": phase.name, "parts": parts}


def capped(base: str, r: int, longest: int, gib: int, rows: int) -> dict[str, Any]:
    """Plan for a card of `gib` GiB, forbid torch to take more, and train four steps."""
    lengths = numpy.clip(numpy.random.default_rng(0).lognormal(numpy.log(420), 0.75, 5000), 32, longest)
    lengths, lora = lengths.astype(numpy.int64), Lora(r, 2 * r)
    counted = memory.Shape.of(config(base))
    plan = memory.plan(counted, lora, lengths, rows, "nf4", gib * GIB, arithmetic=memory.arithmetic())
    print(f"\n{base}, nf4, r={r}, rows of at most {longest} tokens, {rows} a step, in {gib} GiB")
    print("\n".join(plan.lines()))
    choice = need.Choice(plan.tokens_per_pass, plan.levels, plan.offload, plan.optim)
    model = prepared(base, "nf4", lora, choice)
    collect()
    memory.limit(gib * GIB)
    number = max(1, round(plan.passes))
    try:
        reserved, allocated, seconds = peaks(model, choice, longest, number, steps=4)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    speed = number * choice.tokens / seconds
    print(f"  measured peak {reserved / GIB:.2f} GiB ({allocated / GIB:.2f} in use), {speed:,.0f} tokens/s", flush=True)
    measured = {"reserved": reserved, "allocated": allocated, "tokens_per_second": speed}
    return {"base": base, "r": r, "longest": longest, "gib": gib, **asdict(plan), **measured}


def main() -> None:
    """Measure, print, write."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--only", choices=BASES, help="one base")
    asked.add_argument("--capped", action="store_true", help="train in 4, 8 and 20 GiB")
    asked.add_argument("--json", type=Path)
    options = asked.parse_args()
    if not torch.cuda.is_available():
        sys.exit("this measures a CUDA GPU, and there is none")
    if options.capped:
        found = [capped(*recipe) for recipe in CAPPED if options.only in (None, recipe[0])]
    else:
        print(HEAD)
        found = [measure(one) for one in COMBINATIONS if options.only in (None, one.base)]
        print(f"largest error {max(abs(one['error']) for one in found):.1%} of {len(found)} combinations")
    if options.json:
        told = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "measured": found}
        options.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
