"""The order of a multiple-choice question's options: drawn anew, so that nobody can learn where the right one stands."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Sequence
from dataclasses import replace

from medslm.data.example import Example

OF_OTHERS = re.compile(r"\b(above|below|these|options?|choices?)\b|^(both|all|none|neither|any)\b", re.IGNORECASE)
"""An option that speaks of the others (`None of the above`) keeps its place."""
BY_LETTER = re.compile(r"\b[A-Ea-e]\)?(?:, ?| ?(?:and|&|or|\+) ?)\(?[A-Ea-e]\b")
"""An option that names others by their letters (`Both A and B`) would be wrong in another order."""

KEPT = "options left in their order"
"""How an example is counted whose options were to be shuffled and cannot be."""


def drawn(options: Sequence[str], by: str, other: bool = False) -> list[int] | None:
    """The places at which the options of an order stood before; none if they cannot be moved.

    `by` decides the draw, in every process; `other` asks for any order but the given one.
    """
    if any(BY_LETTER.search(option) for option in options):
        return None
    free = [place for place, option in enumerate(options) if not OF_OTHERS.search(option)]
    if len({options[place] for place in free}) < 2:
        return None
    dice, moved = random.Random(by), list(free)
    dice.shuffle(moved)
    while other and moved == free:
        dice.shuffle(moved)
    order = list(range(len(options)))
    for place, origin in zip(free, moved):
        order[place] = origin
    return order


def put(example: Example, order: Sequence[int], key: int) -> Example:
    """The example with its options in an order, and the letter that its option `key` has got."""
    options = tuple(example.options[origin] for origin in order)
    return replace(example, options=options, output=string.ascii_uppercase[order.index(key)])


def lesson(example: Example) -> Example | None:
    """A question to learn from with its options in an order drawn by its id, the given one as likely as any other.

    None if they have to stay: thoughts, or an answer of more than a letter, may speak of letters.
    """
    letters = string.ascii_uppercase[: len(example.options)]
    answer = example.output if isinstance(example.output, str) and not example.reasoning else ""
    if len(answer) != 1 or answer not in letters:
        return None
    order = drawn(example.options, f"lesson {example.id}")
    return None if order is None else put(example, order, letters.index(answer))
