"""What passes can hold: how full the fullest is that whole rows make, and how many passes a step takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

DRAWN = 32
"""Steps that are drawn to see what a step is like."""

SHARING = (1, 2, 3)
"""Rows so long that no more than so many of them share a pass are counted by themselves."""


def fullest(lengths: Array, rows: int, rooms: Sequence[int]) -> list[int]:
    """The most tokens that a pass with room for each of `rooms` holds, in any step of at most `rows` rows.

    `lengths` (N,) are the tokens of all rows. Exact: no pass is fuller, since packing keeps rows whole; and the last step
    of an epoch may be just the rows that fill it. 0 where no row has room.
    """
    import numpy

    sizes, counts = numpy.unique(lengths[lengths > 0], return_counts=True)
    most = int(numpy.sort(lengths)[-rows:].sum())
    wanted = numpy.array([room for room in rooms if 0 < room < most], "i8")
    fewest: Array = numpy.full(int(wanted.max(initial=0)) + 1, rows + 1, "i8")  # rows that make exactly so many tokens
    fewest[0] = 0
    for place in _outside_in(len(sizes)):
        if (fewest[wanted] <= rows).all():
            break
        _add(fewest, int(sizes[place]), min(int(counts[place]), rows))
    made = numpy.flatnonzero(fewest <= rows)
    return [most if room >= most else int(made[numpy.searchsorted(made, room, "right") - 1]) for room in rooms]


def _outside_in(number: int) -> Sequence[int]:
    """The last, the first, the last but one, ...: short and long rows together soon make every sum."""
    import numpy

    places = numpy.arange(number)
    both: list[int] = numpy.stack([places[::-1], places], 1).ravel()[:number].tolist()
    return both


def _add(fewest: Array, size: int, number: int) -> None:
    """Allow for `number` more rows of `size` tokens, in bundles of 1, 2, 4, ... of them."""
    import numpy

    number, bundle = min(number, (len(fewest) - 1) // size), 1
    while number:
        bundle = min(bundle, number)
        tokens = bundle * size
        numpy.minimum(fewest[tokens:], fewest[:-tokens] + bundle, out=fewest[tokens:])
        number, bundle = number - bundle, 2 * bundle


def steps(lengths: Array, rows: int) -> Array:
    """The lengths of the rows of a few steps, drawn as an epoch does, but the same for the same input. (S, rows)"""
    import numpy

    draw, rows = numpy.random.default_rng(0), min(rows, len(lengths))
    places = [draw.choice(len(lengths), rows, replace=False, shuffle=False) for _ in range(DRAWN)]
    drawn: Array = lengths[numpy.stack(places)]
    return drawn


def passes(drawn: Array, tokens: int) -> float:
    """Passes that these steps (S, rows) take on average, with room for `tokens` in each.

    What best-fit packing at least makes of them: all tokens by the room, and rows longer than half of it one by one, those
    longer than a third two by two, than a quarter three by three.
    """
    import numpy

    least = [-(-drawn.sum(1) // tokens)]
    least += [-(-(drawn * (share + 1) > tokens).sum(1) // share) for share in SHARING]
    return float(numpy.max(least, axis=0).mean())
