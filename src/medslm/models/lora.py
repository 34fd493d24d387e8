"""A LoRA preset: rank, scale and the linear layers that get an adapter (arXiv:2106.09685)."""

from __future__ import annotations

from dataclasses import dataclass

from medslm.registry import Registry


@dataclass(frozen=True)
class Lora:
    """The fields of `peft.LoraConfig` that a recipe chooses, under PEFT's own names."""

    r: int
    """Rank of the two matrices."""

    lora_alpha: int
    """The update is scaled by lora_alpha / r."""

    lora_dropout: float = 0.0
    """Dropout on the adapter's input."""

    target_modules: str | tuple[str, ...] = "all-linear"
    """`all-linear` is every linear layer but the output head; else names of modules."""


loras: Registry[Lora] = Registry("LoRA preset")

loras.add("all-linear-r16", Lora(r=16, lora_alpha=32))
loras.add("all-linear-r24", Lora(r=24, lora_alpha=48))
loras.add("all-linear-r64", Lora(r=64, lora_alpha=128))
loras.add("attention-r16", Lora(r=16, lora_alpha=32, target_modules=("q_proj", "k_proj", "v_proj", "o_proj")))
