"""A variant: which trainer learns, and how it is set up."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

RUNNERS = ("medslm", "trl", "unsloth")
OURS, THEIRS = ("recompute", "tokens", "documents"), ("recompute", "batch", "accumulate", "packing")
HAS = {"medslm": OURS, "trl": (*THEIRS, "liger"), "unsloth": THEIRS}
"""What can be said of each, beside `quantization` and `cap`."""

PRECISIONS = ("none", "nf4", "fp8")


@dataclass(frozen=True)
class Variant:
    """One bar of the plot. A field that a runner does not have must keep its default."""

    label: str
    runner: str

    quantization: str = "none"
    """`none` (bfloat16), `nf4` or `fp8`: the frozen base."""

    recompute: str = ""
    """MedSLM: the recipe's `recompute`. TRL and Unsloth: `all` is their activation checkpointing, anything else none."""

    tokens: int = 0
    """MedSLM: `tokens_per_pass`; 0 is the planner's choice."""

    documents: int = 64
    """MedSLM: documents of an optimiser step."""

    batch: int = 16
    """TRL and Unsloth: rows of a pass; halved until they fit."""

    accumulate: int = 1
    """TRL and Unsloth: passes of an optimiser step."""

    packing: bool = False
    """TRL and Unsloth: several documents share a row of the greatest length."""

    liger: bool = False
    """TRL: Liger's kernels."""

    cap: float = 0.0
    """GiB of GPU memory that the process may reserve; 0 is all there is."""

    def as_dict(self) -> dict[str, Any]:
        """Every field as JSON values."""
        return asdict(self)

    @property
    def process(self) -> tuple[Any, ...]:
        """Variants that may share a process: neither patches what another one runs."""
        return (self.runner, self.liger) if self.runner != "unsloth" else (self.runner, self.recompute, self.cap)


PRESETS = {
    "medslm-bf16": "medslm",
    "medslm-nf4": "medslm:quantization=nf4",
    "medslm-fp8": "medslm:quantization=fp8",
    "medslm-4gib": "medslm:quantization=nf4,cap=4",
    "trl": "trl:quantization=nf4,recompute=all,accumulate=2",
    "trl-liger": "trl:quantization=nf4,recompute=all,accumulate=2,liger=1",
    "trl-packed": "trl:quantization=nf4,recompute=all,packing=1,batch=4",
    "unsloth-bf16": "unsloth:packing=1",
    "unsloth-nf4": "unsloth:quantization=nf4,packing=1",
    "unsloth-small": "unsloth:packing=1,batch=4,accumulate=4",
    "unsloth-checkpointed": "unsloth:quantization=nf4,packing=1,recompute=all",
    "unsloth-4gib": "unsloth:quantization=nf4,packing=1,recompute=all,cap=4",
}
"""Variants by a name of their own."""


def parse(written: str) -> Variant:
    """`medslm:quantization=nf4,tokens=16384`, a preset, or `mine=medslm:...` for a label of one's own.

    Raises `SystemExit` for a trainer, a field or a value that is not known.
    """
    label, definition = written, PRESETS.get(written, written)
    named = written.partition("=")
    if ":" not in named[0] and named[1]:
        label, definition = named[0], PRESETS.get(named[2], named[2])
    runner, _, options = definition.partition(":")
    if runner not in RUNNERS:
        raise SystemExit(f"{written}: there is no trainer '{runner}'; use {', '.join(RUNNERS)} or {', '.join(PRESETS)}")
    kinds = {field.name: type(field.default) for field in fields(Variant) if field.name not in ("label", "runner")}
    chosen: dict[str, Any] = {}
    for name, _, value in (option.partition("=") for option in options.split(",") if option):
        known = ("quantization", "cap", *HAS[runner])
        if name not in known:
            raise SystemExit(f"{written}: {runner} has no '{name}'; it has {', '.join(known)}")
        chosen[name] = _value(written, name, value, kinds[name])
    if chosen.get("quantization", "none") not in PRECISIONS:
        raise SystemExit(f"{written}: quantization is one of {', '.join(PRECISIONS)}")
    if runner == "trl" and chosen.get("quantization") == "fp8":
        raise SystemExit(f"{written}: TRL has no base in FP8 that learns; quantization is none or nf4")
    return Variant(label, runner, **chosen)


def _value(written: str, name: str, value: str, kind: type) -> Any:
    """What stands behind an equals sign, as the field wants it; numbers are 0 or more, and batches are 1 or more."""
    try:
        read = kind(int(value)) if kind is bool else kind(value)
    except ValueError:
        raise SystemExit(f"{written}: {name}={value} is no number") from None
    if kind is bool and value not in ("0", "1"):
        raise SystemExit(f"{written}: {name}={value}; it is 0 or 1")
    least = 1 if name in ("batch", "accumulate", "documents") else 0
    if kind in (int, float) and not least <= read < float("inf"):
        raise SystemExit(f"{written}: {name}={value}; it is {least} or more")
    return read
