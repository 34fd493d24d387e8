"""Whether a recipe runs here: what it needs of the machine, the memory plan for its own rows, and room on the disks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from medslm.doctor import fits
from medslm.doctor.finding import Finding
from medslm.doctor.machine import GIB, Machine, nearest
from medslm.errors import MedslmError
from medslm.models import load, shapes, source
from medslm.models.base import Base, resolve
from medslm.models.lora import loras
from medslm.recipe import Sft
from medslm.train import batches, checkpoint, execution, memory
from medslm.train.trainers import full_memory
from medslm.train.trainers.full_memory import Whole


@dataclass(frozen=True)
class Sizes:
    """In parameters."""

    all: int
    trainable: int


def sizes(recipe: Sft) -> Sizes | None:
    """What the base and its adapter hold; none where the base's sizes are not known here."""
    config = shapes.config(resolve(recipe.base))
    if config is None:
        return None
    shape = memory.Shape.of(config)
    whole = shape.linear_parameters + shape.embedding_parameters + shape.other_parameters
    return Sizes(whole, whole if recipe.trainer == "full" else shape.trainable(loras[recipe.lora]))


def weights(base: Base) -> Finding:
    """Whether the base's weights are on this disk, or in a package; those of the Hub are not fetched for that."""
    if base.embedded is None and shapes.cached(base) is None:
        return Finding(
            "base", f"{base.hub_id} is not on this disk: a run fetches it", "warning", f"hf download {base.hub_id}"
        )
    try:
        found = source.find(base)
    except MedslmError as error:
        return Finding("base", str(error), "failure", f"hf download {base.hub_id}")
    return Finding("base", f"{base.hub_id} ({found.kind}, {found.revision[:12]})")


def asks(recipe: Sft) -> Iterator[Finding]:
    """What it asks of this machine that is not so."""
    try:
        execution.require(recipe)
    except MedslmError as error:
        yield Finding("machine", str(error), "failure")


def memory_plan(recipe: Sft, train: Any, validation: Any, machine: Machine) -> Iterator[Finding]:
    """How it would be computed here, for the rows that it has."""
    try:
        chosen = execution.choose(recipe, batches.lengths(train), batches.lengths(validation), recipe.share(1))
    except MedslmError as error:
        yield Finding("memory", str(error), "failure")
        return
    yield from (Finding("memory", line) for line in chosen.lines)
    needed = host_bytes(recipe)
    if machine.gpu is None and needed and needed > machine.memory_free:
        told = f"the base and its adapter take {needed / GIB:.1f} GiB and {machine.memory_free / GIB:.1f} GiB are free"
        yield Finding("memory", told, "failure", "a smaller base, quantization=nf4, or a machine with more memory")


def host_bytes(recipe: Sft) -> int:
    """Bytes of a CPU's memory for weights, adapter, gradients and moments, activations not counted; 0 if not known."""
    found = sizes(recipe)
    if found is None:
        return 0
    each = 1 if recipe.quantization == "nf4" else load.dtype(recipe.dtype).itemsize
    frozen = 0 if recipe.trainer == "full" else found.all * each
    return frozen + found.trainable * (4 + 4 + 8)


def presets(recipe: Sft, train: Any) -> list[fits.Fit]:
    """The recipe's own rows, base and trainer on every preset; empty if no size is known, or Unsloth lays out passes."""
    config = shapes.config(resolve(recipe.base))
    if config is None or recipe.trainer == "unsloth":
        return []
    shape, lora, lengths, share = memory.Shape.of(config), loras[recipe.lora], batches.lengths(train), recipe.share(1)
    if recipe.trainer == "full":
        needs = fits.least(Whole.of(shape, 2), int(lengths.max()))
        plan = partial(full_memory.plan, shape, lengths, share, dtype_bytes=2, wishes=memory.Wishes())
        return fits.on_cards(recipe.base, recipe.quantization, needs, plan)
    if lora.use_dora:  # whose layers are transformers' own
        shape = replace(shape, whole_layers=False, norms_sums=False, merged=False)
    return fits.of_shape(recipe.base, shape, lora, lengths, share, [recipe.quantization])


def disk(recipe: Sft, runs: Path, cache: Path, here: bool) -> Iterator[Finding]:
    """Bytes that the run writes and those of a base that is not `here` yet, against what is free."""
    found = sizes(recipe)
    if found is None:
        yield Finding("disk", f"the sizes of {recipe.base} are not known here, so that its disk is not planned")
        return
    needed = checkpoint.space(found.trainable) + 4 * found.trainable
    yield room("disk of the run", runs, needed, "checkpoints and adapter")
    if not here:
        yield room("disk of the base", cache, 2 * found.all, f"the weights of {recipe.base} in 16 bits")


def room(what: str, folder: Path, needed: int, of: str) -> Finding:
    """What is written into a folder against what is free there; a failure if it does not fit."""
    free = shutil.disk_usage(nearest(folder)).free
    told = f"{needed / GIB:.2f} GiB for {of}; {free / GIB:,.1f} GiB free in {folder}"
    if needed > free:
        return Finding(what, told, "failure", "free some space, or choose another place")
    return Finding(what, told)
