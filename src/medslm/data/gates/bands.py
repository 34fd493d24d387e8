"""The search for pairs of signatures that are alike among millions, one band of the signatures at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medslm.data.gates import clusters
from medslm.errors import MedslmError

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

PERMUTATIONS = 64
"""Numbers of a signature."""

BAND = 4
"""Numbers of a signature that must agree for two examples to be compared; four of 16 bits are one key of 64 bits. Of pairs
with similarity 0.8 the 16 bands find all but 2 in 10,000, with 0.7 98.7 %, with 0.6 89 % (1 - (1 - s**4)**16, Leskovec,
Rajaraman and Ullman, Mining of Massive Datasets, 3.4.2)."""

ROUNDS = 8
"""Examples of one key that all others of the key are compared with, the earliest first."""

BESIDE = 4
"""Examples before each, of the same key, that it is compared with in each round: where many share a phrase, these find nine
in ten of the near copies that the rounds alone would miss."""

BLOCK = 1 << 15  # rows that are compared at a time, so that memory stays small
SHOWN = 20  # near copies that are named beside what they resemble


class Table:
    """Signatures in one part or several, read where they lie."""

    def __init__(self, signatures: Array | Sequence[Array]) -> None:
        import numpy

        self._parts: list[Array] = [signatures] if isinstance(signatures, numpy.ndarray) else [*signatures]
        for part in self._parts:
            if part.ndim != 2 or part.shape[1] != PERMUTATIONS or part.dtype != numpy.uint16:
                raise MedslmError(
                    f"signatures have the shape {part.shape} and the type {part.dtype}; near copies are found in arrays of "
                    f"(N, {PERMUTATIONS}) uint16, one row from `signature` for each example"
                )
        self._bounds = numpy.cumsum([0, *map(len, self._parts)])

    def __len__(self) -> int:
        return int(self._bounds[-1])

    def band(self, number: int) -> Array:
        """One key an example. (N,), uint64"""
        import numpy

        keys: Array = numpy.empty((len(self), BAND), "u2")
        for start, part in zip(self._bounds, self._parts):
            keys[start : start + len(part)] = part[:, number * BAND : (number + 1) * BAND]
        whole: Array = keys.view("u8")[:, 0]
        return whole

    def __getitem__(self, rows: Array) -> Array:
        """Some signatures. (M,) -> (M, 64)"""
        import numpy

        if len(self._parts) == 1:
            return self._parts[0][rows]
        found: Array = numpy.empty((len(rows), PERMUTATIONS), "u2")
        part_of = numpy.searchsorted(self._bounds, rows, side="right") - 1
        order = numpy.argsort(part_of, kind="stable")
        parts, starts = numpy.unique(part_of[order], return_index=True)
        for part, places in zip(parts, numpy.split(order, starts[1:])):
            found[places] = self._parts[part][rows[places] - self._bounds[part]]
        return found


class Search:
    """What is known so far of near copies; `look` at each band makes it complete."""

    def __init__(self, table: Table, alive: Array | None, threshold: float) -> None:
        import numpy

        self.cluster: Array = numpy.arange(len(table))
        """For each row the first of its cluster. (N,)"""
        self.pairs: list[tuple[int, int, float]] = []
        """The first `SHOWN` near copies: a row, the copy, their similarity."""
        self.unchecked = 0
        """Rows, counted for each band, that were compared with some of those with the same key, and like none of them."""
        self._table, self._alive, self._threshold = table, alive, threshold

    def look(self, band: int) -> None:
        """Compare the rows that share their key in one band."""
        import numpy

        keys = self._table.band(band)
        alive = numpy.arange(len(keys)) if self._alive is None else numpy.flatnonzero(self._alive)
        rows, key = sharing(keys if self._alive is None else keys[alive], alive)
        for _ in range(ROUNDS):
            rows, key = self._round(rows, key)
        self.unchecked += len(rows) - len(numpy.unique(key))
        clusters.flatten(self.cluster)

    def _round(self, rows: Array, key: Array) -> tuple[Array, Array]:
        """Compare the rows of each key with those beside them and with the first; give those unlike the first."""
        import numpy

        if not len(rows):
            return rows, key
        for back in range(1, BESIDE + 1):
            same = key[back:] == key[:-back]
            self._compare(rows[:-back][same], rows[back:][same])
        first = numpy.concatenate([[True], key[1:] != key[:-1]])
        leads, rest = rows[first][numpy.cumsum(first) - 1], ~first
        leads, rows, key = leads[rest], rows[rest], key[rest]
        self._compare(leads, rows)
        unlike = clusters.roots(self.cluster, leads) != clusters.roots(self.cluster, rows)
        return rows[unlike], key[unlike]

    def _compare(self, one: Array, other: Array) -> None:
        """Join those pairs that are alike; pairs that are joined already need no look."""
        import numpy

        apart = clusters.roots(self.cluster, one) != clusters.roots(self.cluster, other)
        one, other = one[apart], other[apart]
        alike: Array = numpy.zeros(len(one), bool)
        for start in range(0, len(one), BLOCK):
            here = slice(start, start + BLOCK)
            similarity = (self._table[one[here]] == self._table[other[here]]).mean(1)
            alike[here] = similarity >= self._threshold
            for index in numpy.flatnonzero(alike[here])[: SHOWN - len(self.pairs)]:
                self.pairs.append((int(one[here][index]), int(other[here][index]), round(float(similarity[index]), 3)))
        clusters.join(self.cluster, one[alike], other[alike])


def sharing(keys: Array, rows: Array) -> tuple[Array, Array]:
    """The rows that share their key with others, key by key and in order, and the number of the key. (M,), (M,)"""
    import numpy

    order = numpy.argsort(keys, kind="stable")
    ranked = keys[order]
    starts = numpy.concatenate([[True], ranked[1:] != ranked[:-1]])[: len(keys)]
    shared = ~(
        starts & numpy.concatenate([starts[1:], [True]])[: len(keys)]
    )  # neither the one before nor the one after
    return rows[order[shared]], numpy.cumsum(starts[shared])
