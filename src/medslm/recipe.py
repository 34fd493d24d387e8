"""A recipe: everything that decides what a run learns, as one frozen record."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from medslm.errors import MedslmError

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")  # valid as a file name, a folder and the last part of a Hub id

HOW = frozenset({"packing", "tokens_per_pass", "recompute", "optim", "gpu"})
"""Fields of a recipe that decide how fast and in how much memory it is computed, and not what is learnt."""


def called(names: Iterable[str]) -> dict[str, str]:
    """Name in a mixture -> name in what is published: one's own files go without their folder, which tells of a machine.

    Two files of one name in two folders are numbered.
    """
    told: dict[str, str] = {}
    for name in names:
        before, local, path = name.partition("local:")
        short = f"local:{Path(path).expanduser().resolve().name}" if local and not before else name
        several = itertools.chain([short], (f"{short} ({number})" for number in itertools.count(2)))
        told[name] = next(one for one in several if one not in told.values())
    return told


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What is learnt: corpora, how they are written, and the gates before them. Raises `MedslmError` for bad values."""

    mixture: Mapping[str, float]
    """Passes over each corpus per epoch (`medslm list corpora`); 0.5 takes a random half, 2.0 takes all twice. One's own
    data is named `local:PATH`, any other dataset of the Hub `org/name`."""

    format: str = "chat"
    """How an example becomes text (`medslm list formats`)."""

    formats: Mapping[str, str] = field(default_factory=dict)
    """The format of single corpora, where it is not `format`."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """For corpora that are not registered: field of an example = column (`input=note`), or a constant (`instruction==Code
    it.`). Where nothing is said, the shape is recognised."""

    licenses: Mapping[str, str] = field(default_factory=dict)
    """Licence of corpora that are not registered; without one the adapter cannot be published."""

    contamination: Literal["report", "drop", "fail"] = "drop"
    """What happens to an example that a registered benchmark holds, word for word or nearly."""

    deidentify: Literal["off", "scan", "mask", "surrogate"] = "scan"
    """Identifiers of patients: count them by type; or replace them as well, by their type or by consistent surrogates with
    shifted dates."""

    phi_engine: Literal["rules", "presidio"] = "rules"
    """What finds them: our own rules, or these and Presidio (`pip install medslm[phi]`), which knows more names."""

    duplicates: Literal["report", "exact", "near"] = "exact"
    """Which repeated examples are dropped; all of them are counted."""

    max_length: int = 1024
    """Tokens of prompt and completion; longer examples are dropped whole and counted, never cut."""

    validation_fraction: float = 0.05
    """Part of the mixture held out from training, for the evaluation loss and the choice of the best checkpoint."""

    validation_rows: int = 0
    """Hold out the first so many examples of each corpus instead of a fraction; 0 means a fraction."""

    seed: int = 42
    """Seed of the mixture's order, the LoRA initialisation and the dropout."""

    def __post_init__(self) -> None:
        if not self.mixture:
            raise MedslmError(f"{self.called} has an empty mixture; name at least one corpus with its passes")
        for corpus, passes in self.mixture.items():
            self._check(0 < passes < math.inf, f"mixture.{corpus}", passes, "above 0")
        for name in ("formats", "licenses"):
            for corpus in getattr(self, name):
                self._check(corpus in self.mixture, name, corpus, f"one of the mixture: {', '.join(self.mixture)}")
        for name, kind in get_type_hints(type(self)).items():
            if get_origin(kind) is Literal:  # a misspelt word would open a gate
                value, known = getattr(self, name), get_args(kind)
                self._check(value in known, name, value, f"one of {', '.join(known)}")
        self._check(self.max_length >= 1, "max_length", self.max_length, "at least 1")
        self._check(self.validation_rows >= 0, "validation_rows", self.validation_rows, "at least 0")
        held_out = self.validation_fraction
        self._check(0 < held_out < 1, "validation_fraction", held_out, "between 0 and 1")

    @property
    def called(self) -> str:
        """How a message names it."""
        return "the lesson"

    def _check(self, holds: bool, name: str, value: object, bound: str) -> None:
        if not holds:
            raise MedslmError(f"{self.called} has {name}={value}; it must be {bound}")

    def as_dict(self) -> dict[str, Any]:
        """Every field as JSON values, in the order of declaration; corpora by the names that `called` gives them."""
        told, names = dataclasses.asdict(self), called(self.mixture)
        for name in ("mixture", "formats", "licenses"):
            told[name] = {names[corpus]: value for corpus, value in told[name].items()}
        parts = [(*key.rpartition(":"), value) for key, value in self.columns.items()]
        told["columns"] = {names.get(of, of) + colon + field: value for of, colon, field, value in parts}
        return told


@dataclass(frozen=True, kw_only=True)
class Sft(Lesson):
    """Supervised fine-tuning of a LoRA adapter. Raises `MedslmError` for values that cannot be run."""

    name: str
    """Run, model card and Hub repository carry this name: lower case words joined by hyphens."""

    base: str
    """Base model preset (`medslm list bases`)."""

    lora: str
    """LoRA preset (`medslm list loras`)."""

    suite: str
    """What judges the result (`medslm list suites`); its test items are kept out of training."""

    quantization: Literal["none", "nf4", "fp8"] = "none"
    """Frozen base weights: as stored, 4-bit NormalFloat with double quantisation (arXiv:2305.14314), or 8-bit floats with
    a scale for each row, which Ada, Hopper and Blackwell GPUs multiply by themselves."""

    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Type of the base's weights and of the arithmetic; `auto` is the fastest that this device computes by itself."""

    global_batch_size: int = 16
    """Examples per optimiser step, over all processes; how they are laid out in passes changes nothing in it."""

    packing: bool = True
    """Lay whole examples side by side in one pass, each blind to the others; False is one example a pass, slower, and for
    bases whose attention cannot keep examples apart: theirs stays as it is."""

    tokens_per_pass: int = 0
    """Tokens of one forward and backward pass, at least the longest example's; 0 is what the memory allows."""

    recompute: Literal["auto", "none", "mlp", "attention-kept", "all", "offload"] = "auto"
    """What the backward pass computes again instead of keeping it: nothing, the MLP's products, all but attention, all,
    or all with the layers' inputs kept in the host's memory; `auto` is the least that fits."""

    optim: Literal["auto", "adamw_torch_fused", "paged_adamw_8bit"] = "auto"
    """AdamW's moments in float32 or in 8 bits (arXiv:2110.02861), paged to the host; `auto` is float32 where it fits."""

    gpu: Literal["auto", "4gb", "8gb", "12gb", "16gb", "24gb", "48gb", "80gb"] = "auto"
    """The GPU memory to stay within; `auto` is what is free."""

    num_train_epochs: float = 1.0
    """Passes over the whole mixture."""

    max_steps: int = -1
    """Optimiser steps; -1 follows `num_train_epochs`."""

    learning_rate: float = 2e-4
    """Peak learning rate of AdamW."""

    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"
    """Shape of the learning rate after warm-up."""

    warmup_steps: float = 0.05
    """Optimiser steps of linear warm-up; below 1 it is a fraction of all steps (transformers >= 5)."""

    weight_decay: float = 0.0
    """Decoupled weight decay (arXiv:1711.05101)."""

    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global L2 norm."""

    eval_steps: int = 50
    """Optimiser steps between evaluations; each is also a checkpoint."""

    logging_steps: int = 5
    """Optimiser steps between points of the loss curve."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise MedslmError(f"a recipe cannot be called '{self.name}'; use lower case words joined by hyphens")
        super().__post_init__()
        for name in ("global_batch_size", "eval_steps", "logging_steps"):
            self._check(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("learning_rate", "num_train_epochs", "max_grad_norm"):
            self._check(0 < getattr(self, name) < math.inf, name, getattr(self, name), "above 0")
        for name in ("warmup_steps", "weight_decay"):
            self._check(0 <= getattr(self, name) < math.inf, name, getattr(self, name), "at least 0")
        self._check(self.max_steps == -1 or self.max_steps >= 1, "max_steps", self.max_steps, "-1 or at least 1")
        room = self.tokens_per_pass
        self._check(room >= 0, "tokens_per_pass", room, "at least 0")
        self._check(self.packing or not room, "tokens_per_pass", room, "0 with packing=False: a pass is one example")

    @property
    def called(self) -> str:
        """How a message names it."""
        return f"recipe '{self.name}'"

    def share(self, world_size: int) -> int:
        """Examples per optimiser step on each of `world_size` processes.

        Raises `MedslmError` when they are not equally many on all.
        """
        if self.global_batch_size % world_size:
            raise MedslmError(
                f"global_batch_size={self.global_batch_size} cannot be shared equally by {world_size} processes; make it "
                f"a multiple of {world_size}, or start another number of processes"
            )
        return self.global_batch_size // world_size

    def learnt(self) -> dict[str, Any]:
        """The fields of `as_dict` that decide what is learnt, without `HOW`: a run may go on on another machine."""
        return {name: value for name, value in self.as_dict().items() if name not in HOW}


@dataclass(frozen=True)
class Fingerprint:
    """What two runs must share to be continued in one folder: the recipe and the records its names stand for."""

    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the fields as canonical JSON, in hexadecimal."""
        canonical = json.loads(json.dumps(self.fields), parse_int=float)  # 1 and 1.0 are one number
        return hashlib.sha256(json.dumps(canonical, sort_keys=True).encode()).hexdigest()

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """`learning_rate 0.0002 -> 0.0001` for each field of `other` (an earlier run) that differs from this one."""
        names = [name for name in {**other, **self.fields} if other.get(name) != self.fields.get(name)]
        return [f"{name} {json.dumps(other.get(name))} -> {json.dumps(self.fields.get(name))}" for name in names]
