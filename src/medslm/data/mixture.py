"""A mixture: which prepared examples are learnt, how often and in which order; whatever is left out is counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from medslm.data.gates import duplicates
from medslm.data.prepare import Prepared
from medslm.errors import MedslmError
from medslm.recipe import Lesson

if TYPE_CHECKING:
    import datasets
    import numpy

    Array = numpy.ndarray[Any, Any]

MOST = 10**9
"""Examples in an epoch: whoever takes more of one corpus has counted examples where passes are meant."""
SHOWN = 3  # pairs named in an error


@dataclass
class Kept:
    """What is left of one corpus, and where the rest went."""

    read: int
    """Examples read."""

    unusable: int = 0
    """Dropped: no question, no answer, or a key that is not among the options."""

    contaminated: int = 0
    """Held by a benchmark, word for word or nearly; dropped unless the recipe says otherwise."""

    repeated: int = 0
    """Repetitions of an earlier example of the mixture; dropped unless the recipe says otherwise."""

    near: int = 0
    """Near copies of an earlier example of the mixture; kept unless the recipe says otherwise."""

    too_long: int = 0
    """Dropped: longer than `max_length`."""

    train: int = 0
    """Distinct examples to learn from."""

    taken: int = 0
    """Examples in an epoch, with the passes."""

    validation: int = 0


@dataclass(frozen=True)
class Mixture:
    """Examples ready for the trainer, and what was done to get them."""

    train: datasets.Dataset
    validation: datasets.Dataset

    kept: Mapping[str, Kept]
    """By corpus."""

    lengths: Array
    """Tokens of every usable example, too long or not. (N,)"""

    across: int = 0
    """Validation examples of which a near copy is learnt."""


@dataclass
class Pool:
    """All examples of a mixture as columns, in the order of the corpora's names."""

    names: list[str]
    bounds: Array
    """First example of each corpus, and the end. (C + 1,)"""

    columns: dict[str, Array]
    alive: Array = field(init=False)
    """Whether an example may still be used. (N,)"""

    def __post_init__(self) -> None:
        self.alive = ~self.columns["unusable"]

    def of(self, index: int) -> slice:
        """The examples of corpus number `index`."""
        return slice(int(self.bounds[index]), int(self.bounds[index + 1]))

    def each(self, mask: Array) -> Iterator[int]:
        """How many of each corpus are in `mask`."""
        return (int(mask[self.of(index)].sum()) for index in range(len(self.names)))

    def drop(self, mask: Array) -> None:
        """Use those in `mask` no more."""
        self.alive &= ~mask


def load(recipe: Lesson, prepared: Mapping[str, Prepared]) -> Mixture:
    """Screen, split and shuffle what was prepared; the seed alone decides the order, on every machine.

    Raises `MedslmError` if a corpus is contaminated and the recipe does not allow it, or nothing is left to train on.
    """
    import numpy

    pool = _pool(prepared)
    kept = {name: Kept(len(prepared[name].dataset)) for name in pool.names}
    near = _screen(recipe, pool, prepared, kept)
    usable = pool.alive.copy()
    pool.drop(pool.columns["length"] > recipe.max_length)
    _note(pool, kept, "too_long", usable & ~pool.alive)
    for index, name in enumerate(pool.names):
        if not pool.alive[pool.of(index)].any():
            raise MedslmError(f"nothing is left of corpus '{name}': {_losses(kept[name], recipe)}")
    order = numpy.random.default_rng(recipe.seed)
    held_out = _held_out(recipe, pool, order)
    train, validation = pool.alive & ~held_out, pool.alive & held_out
    chosen = numpy.concatenate([_taken(recipe, pool, train, index, order) for index in range(len(pool.names))])
    _note(pool, kept, "train", train)
    _note(pool, kept, "validation", validation)
    order.shuffle(chosen)
    for index, name in enumerate(pool.names):
        inside = (chosen >= pool.bounds[index]) & (chosen < pool.bounds[index + 1])
        kept[name].taken = int(inside.sum())
    across = near.across(train, validation)
    return Mixture(
        _rows(prepared, pool, chosen),
        _rows(prepared, pool, numpy.flatnonzero(validation)),
        kept,
        pool.columns["length"][usable],
        across,
    )


def _pool(prepared: Mapping[str, Prepared]) -> Pool:
    import numpy

    names = sorted(prepared)
    sizes = [len(prepared[name].dataset) for name in names]
    columns = ("length", "family", "fingerprint", "contaminated", "unusable")
    joined = {column: numpy.concatenate([prepared[name].column(column) for name in names]) for column in columns}
    return Pool(names, numpy.cumsum([0, *sizes]), joined)


def _note(pool: Pool, kept: Mapping[str, Kept], what: str, mask: Array) -> None:
    for name, number in zip(pool.names, pool.each(mask)):
        setattr(kept[name], what, number)


def _screen(recipe: Lesson, pool: Pool, prepared: Mapping[str, Prepared], kept: Mapping[str, Kept]) -> duplicates.Near:
    """Count what the gates found, and drop of it what the recipe says. Gives the near copies."""
    _note(pool, kept, "unusable", ~pool.alive)
    contaminated = pool.columns["contaminated"] & pool.alive  # each example is counted once
    _note(pool, kept, "contaminated", contaminated)
    if recipe.contamination == "fail" and contaminated.any():
        raise MedslmError(_pairs(int(contaminated.sum()), prepared))
    if recipe.contamination == "drop":
        pool.drop(contaminated)
    repeated = duplicates.exact(pool.columns["fingerprint"], pool.alive)
    _note(pool, kept, "repeated", repeated)
    if recipe.duplicates != "report":
        pool.drop(repeated)
    near = duplicates.near([prepared[name].signatures for name in pool.names], pool.alive)
    _note(pool, kept, "near", near.repeats)
    if recipe.duplicates == "near":
        pool.drop(near.repeats)
    return near


def _pairs(number: int, prepared: Mapping[str, Prepared]) -> str:
    pairs = [(name, pair) for name in sorted(prepared) for pair in prepared[name].tally.pairs][:SHOWN]
    shown = "; ".join(f"{name} {pair['example']} is {pair['benchmark']} {pair['item']}" for name, pair in pairs)
    return (
        f"{number} examples are copies of test items, and the recipe says contamination=fail: {shown}"
        f"{', ...' if number > len(pairs) else ''}. `medslm data show` prints them; contamination=drop leaves them out"
    )


def _losses(kept: Kept, recipe: Lesson) -> str:
    reasons = {
        "unusable": kept.unusable,
        "in a benchmark": kept.contaminated,
        "repeated": kept.repeated,
        f"longer than max_length={recipe.max_length}": kept.too_long,
    }
    return ", ".join([f"{kept.read} read", *(f"{number} {reason}" for reason, number in reasons.items() if number)])


def _held_out(recipe: Lesson, pool: Pool, order: numpy.random.Generator) -> Array:
    """Whole families for validation, so that no relative sits on both sides. (N,)"""
    import numpy

    families = distinct(pool.columns["family"][pool.alive])
    if len(families) < 2:
        raise MedslmError(
            f"the mixture has {len(families)} famil{'y' if len(families) == 1 else 'ies'} of examples; training and "
            "validation need one each: add data"
        )
    if recipe.validation_rows:
        firsts = [numpy.flatnonzero(pool.alive[pool.of(i)])[: recipe.validation_rows] for i in range(len(pool.names))]
        chosen = numpy.concatenate([first + pool.bounds[index] for index, first in enumerate(firsts)])
        families = distinct(pool.columns["family"][chosen])
    else:
        number = min(max(1, round(recipe.validation_fraction * len(families))), len(families) - 1)
        families = numpy.sort(order.choice(families, number, replace=False))
    nearest = numpy.minimum(numpy.searchsorted(families, pool.columns["family"]), len(families) - 1)
    held_out: Array = families[nearest] == pool.columns["family"]
    return held_out


def distinct(values: Array) -> Array:
    """The different values in their order; `numpy.unique` asks for several times their memory since numpy 2.3."""
    import numpy

    ordered = numpy.sort(values)
    first: Array = numpy.ones(len(ordered), bool)
    numpy.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    kept: Array = ordered[first]
    return kept


def _taken(recipe: Lesson, pool: Pool, train: Array, index: int, order: numpy.random.Generator) -> Array:
    """The examples of one corpus for an epoch; the fraction of a pass is a random sample without repetition."""
    import numpy

    name, of_corpus = pool.names[index], pool.of(index)
    learn = numpy.flatnonzero(train[of_corpus]) + of_corpus.start
    whole, rest = divmod(recipe.mixture[name], 1)
    if recipe.mixture[name] * len(learn) > MOST:
        raise MedslmError(
            f"{recipe.mixture[name]:g} passes over the {len(learn):,} training examples of corpus '{name}' are more than "
            f"{MOST:,} examples an epoch; a mixture counts passes and not examples: {name}=1 takes each of them once"
        )
    sample = order.choice(learn, round(rest * len(learn)), replace=False)
    taken: Array = numpy.concatenate([numpy.tile(learn, int(whole)), sample])
    if not len(taken):
        raise MedslmError(
            f"{recipe.mixture[name]:g} passes over the {len(learn)} training examples of corpus '{name}' take none; "
            "raise its passes, or lower validation_fraction"
        )
    return taken


def _rows(prepared: Mapping[str, Prepared], pool: Pool, indices: Array) -> datasets.Dataset:
    import datasets

    everything = datasets.concatenate_datasets([prepared[name].dataset for name in pool.names])
    columns = [name for name in ("input_ids", "labels", "length", "example") if name in everything.column_names]
    return everything.select_columns(columns).select(indices)
