"""A mixture: how many passes over which corpus, in one order that depends on the seed alone."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from medslm.data.corpus import corpora
from medslm.data.example import Example
from medslm.data.gates.contamination import Hit, Screen
from medslm.errors import MedslmError


@dataclass(frozen=True)
class Mixture:
    """Examples ready to be rendered, and what was done to get them."""

    train: list[Example]
    validation: list[Example]
    read: Mapping[str, int]
    """Examples read per corpus, before the gate and the passes."""

    contaminated: list[Hit]
    """Examples dropped because a benchmark holds them or a near copy."""


def passes_over(examples: list[Example], passes: float, order: random.Random) -> list[Example]:
    """`passes` times over `examples`; the fraction is a random sample without repetition."""
    whole, rest = divmod(passes, 1)
    return examples * int(whole) + order.sample(examples, round(rest * len(examples)))


def held_out_families(examples: list[Example], fraction: float, order: random.Random) -> set[str]:
    """`fraction` of the families, for validation: as whole families, no near copy sits on both sides."""
    families = sorted({example.family for example in examples})
    if len(families) < 2:
        raise MedslmError(
            f"the mixture has {len(families)} famil{'y' if len(families) == 1 else 'ies'} of examples; training and "
            "validation need one each: add data"
        )
    return set(order.sample(families, min(max(1, round(fraction * len(families))), len(families) - 1)))


def load(passes: Mapping[str, float], validation_fraction: float, seed: int, screen: Screen) -> Mixture:
    """Read, screen, split and shuffle. The same arguments and data give the same order on every machine.

    Raises `MedslmError` for an unknown corpus, a row of another shape, or nothing left to train on.
    """
    order = random.Random(seed)
    read: dict[str, int] = {}
    hits: list[Hit] = []
    kept: dict[str, list[Example]] = {}
    for name in sorted(passes):
        everything = list(corpora[name].load())
        read[name] = len(everything)
        kept[name], found = screen.split(name, everything)
        hits += found
        if not kept[name]:
            raise MedslmError(
                f"nothing is left of corpus '{name}': {len(everything)} read, {len(found)} in a benchmark"
            )
    clean = [example for examples in kept.values() for example in examples]
    held_out = held_out_families(clean, validation_fraction, order)
    train: list[Example] = []
    for name, examples in kept.items():
        learn = [example for example in examples if example.family not in held_out]
        taken = passes_over(learn, passes[name], order)
        if not taken:
            raise MedslmError(
                f"{passes[name]:g} passes over the {len(learn)} training examples of corpus '{name}' take none; "
                "raise its passes, or lower validation_fraction"
            )
        train += taken
    validation = [example for example in clean if example.family in held_out]
    order.shuffle(train)
    return Mixture(train, validation, read, hits)
