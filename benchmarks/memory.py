"""How far the memory plan is from what a GPU measures, and what fits into less memory than it has.

    python benchmarks/memory.py --json memory.json                  # predicted beside measured
    python benchmarks/memory.py --only llama-3.2-3b                 # one base
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

import bitsandbytes  # noqa: E402
import numpy  # noqa: E402
import torch  # noqa: E402
from transformers import CONFIG_MAPPING, AutoModelForCausalLM  # noqa: E402

from medslm.models import attention, fast, load  # noqa: E402
from medslm.models.lora import Lora  # noqa: E402
from medslm.models.passes import Pass, lay  # noqa: E402
from medslm.train import memory  # noqa: E402
from medslm.train.memory import need  # noqa: E402

GIB = 2**30
LLAMA_3 = {"vocab_size": 128_256, "num_key_value_heads": 8, "tie_word_embeddings": True}
QWEN_3 = {"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936, "tie_word_embeddings": True}
BASES: dict[str, tuple[str, dict[str, Any]]] = {  # as their config.json says on the Hub
    "tinyllama-1.1b": (
        "llama",
        {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32}
        | {"num_key_value_heads": 4, "vocab_size": 32_000, "tie_word_embeddings": False},
    ),
    "llama-3.2-1b": (
        "llama",
        {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32}
        | {"head_dim": 64, **LLAMA_3},
    ),
    "llama-3.2-3b": (
        "llama",
        {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24}
        | {"head_dim": 128, **LLAMA_3},
    ),
    "qwen3-4b": (
        "qwen3",
        {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32} | QWEN_3,
    ),
    "gemma-3-1b": (
        "gemma3_text",
        {"hidden_size": 1152, "intermediate_size": 6912, "num_hidden_layers": 26, "num_attention_heads": 4}
        | {"num_key_value_heads": 1, "head_dim": 256, "vocab_size": 262_144},
    ),
}


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
    Combination("tinyllama-1.1b", "nf4", 24, 448, (0,)),
    Combination("tinyllama-1.1b", "nf4", 24, 2048, (0,)),
    Combination("tinyllama-1.1b", "nf4", 16, 8192, (1, 0)),
    Combination("tinyllama-1.1b", "none", 16, 16_384, (0,)),
    Combination("llama-3.2-1b", "none", 16, 8192, (2,)),
    Combination("llama-3.2-1b", "fp8", 64, 8192, (0,)),
    Combination("llama-3.2-3b", "nf4", 16, 2048, (1,)),
    Combination("llama-3.2-3b", "nf4", 16, 2048, (3,), offload=True),
    Combination("llama-3.2-3b", "nf4", 64, 8192, (0,)),
    Combination("llama-3.2-3b", "nf4", 64, 8192, (2, 1)),
    Combination("llama-3.2-3b", "nf4", 64, 16_384, (3,), optim="paged_adamw_8bit"),
    Combination("llama-3.2-3b", "none", 16, 16_384, (0,)),
    Combination("llama-3.2-3b", "fp8", 16, 16_384, (1,)),
    Combination("qwen3-4b", "nf4", 16, 4096, (0,)),
    Combination("qwen3-4b", "none", 16, 8192, (3, 2)),
    Combination("gemma-3-1b", "nf4", 16, 4096, (0,)),
    Combination("gemma-3-1b", "none", 16, 8192, (3,)),
)

CAPPED = (  # base, r, longest row, GiB, examples a step
    ("tinyllama-1.1b", 24, 448, 4, 8),
    ("llama-3.2-3b", 16, 2048, 8, 16),
    ("llama-3.2-3b", 64, 2048, 20, 64),
)


def config(base: str) -> Any:
    """The base's configuration."""
    model_type, fields = BASES[base]
    return CONFIG_MAPPING[model_type](**fields)


def random_base(base: str, quantization: str) -> Any:
    """The base with random weights in bfloat16 on the GPU, its linear layers in NF4 where asked."""
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config(base), dtype=torch.bfloat16)
    if quantization == "nf4":
        head = model.get_output_embeddings()
        linears = [(name, part) for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)]
        for name, part in linears:
            if part is not head:
                model.set_submodule(name, quantized(part))
        model.is_loaded_in_4bit = model.is_quantized = True
    return model.eval()


def quantized(linear: torch.nn.Linear) -> bitsandbytes.nn.Linear4bit:
    """The layer as transformers would have loaded it with `medslm.models.load`'s settings."""
    made = bitsandbytes.nn.Linear4bit(
        linear.in_features,
        linear.out_features,
        bias=linear.bias is not None,
        compute_dtype=linear.weight.dtype,
        compress_statistics=True,
        quant_type="nf4",
        device="meta",
    )
    weight = bitsandbytes.nn.Params4bit(
        linear.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4", module=made
    )
    made.weight, made.bias = weight.to(linear.weight.device), linear.bias
    return made


def prepared(base: str, quantization: str, lora: Lora, choice: need.Choice) -> Any:
    """The model as a run trains it."""
    model = load.with_new_adapter(random_base(base, quantization), lora).train()
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
    f"{'base':<16}{'base in':<8}{'r':>4}{'tokens':>8}  {'levels':<9}{'predicted':>10}{'reserved':>10}{'error':>8}"
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
        f"{asked.base:<16}{asked.quantization:<8}{asked.r:>4}{asked.tokens:>8,}  {levels:<9}{predicted / GIB:>10.2f}"
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
    plan = memory.plan(counted, lora, lengths, rows, "nf4", gib * GIB)
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
