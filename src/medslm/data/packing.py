"""Packing: whole documents side by side in sequences of one length, so that little of a batch is padding.

Best-fit decreasing, as in "Fewer Truncations Improve Language Modeling" (arXiv:2404.10830): the longest document first,
each into the fullest pack that has room for it. Lengths are small integers, so documents of one length are placed all at
once, into all packs with the same room; the packs are those of the plain algorithm.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]


@dataclass(frozen=True)
class Packs:
    """Which documents share a sequence."""

    order: Array
    """The documents, pack by pack, the longest of a pack first. (N,)"""

    offsets: Array
    """Pack `p` holds the documents `order[offsets[p]:offsets[p + 1]]`. (P + 1,)"""

    fill: float
    """Share of the packs' tokens that are not padding; 0 if there is nothing to pack."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, pack: int) -> Array:
        """The documents of one pack. Raises `IndexError` beyond the last."""
        start = range(len(self))[pack]
        return self.order[self.offsets[start] : self.offsets[start + 1]]


def pack(lengths: Array, budget: int) -> Packs:
    """Pack documents of `lengths` tokens (N,) into sequences of `budget` tokens; none is split, and each is in one pack.

    The same lengths give the same packs; the longest documents are in the first of them, so shuffle the packs before
    training. Raises `MedslmError` for a document that is longer than the budget, or empty.
    """
    import numpy

    _check(lengths, budget)
    room: Array = (budget - lengths).astype("u2" if budget < 1 << 16 else "i8")  # 16 bits are sorted in linear time
    ranked = numpy.argsort(room, kind="stable")  # the longest first, equals in their order
    number = numpy.bincount(room)
    rooms = _Rooms(budget, len(lengths))
    for left in numpy.flatnonzero(number).tolist():
        rooms.place(budget - left, int(number[left]))
    of_ranked = rooms.pack_of
    order = ranked[numpy.argsort(of_ranked, kind="stable")]
    offsets = numpy.concatenate([[0], numpy.cumsum(numpy.bincount(of_ranked, minlength=rooms.packs))])
    return Packs(order, offsets, int(lengths.sum(dtype="i8")) / (rooms.packs * budget) if rooms.packs else 0.0)


def _check(lengths: Array, budget: int) -> None:
    if budget < 1:
        raise MedslmError(f"packs of {budget} tokens were asked for; a pack needs at least 1")
    if long := int((lengths > budget).sum()):
        raise MedslmError(
            f"{long:,} of {len(lengths):,} documents are longer than a pack of {budget:,} tokens (the longest has "
            f"{int(lengths.max()):,}) and none is ever cut; leave them out first, or make the packs longer"
        )
    if empty := int((lengths < 1).sum()):
        raise MedslmError(f"{empty:,} of {len(lengths):,} documents have no token; leave them out before packing")


class _Rooms:
    """The packs by the room that is left in them."""

    def __init__(self, budget: int, documents: int) -> None:
        import numpy

        self.packs = 0
        self.pack_of: Array = numpy.empty(documents, "i4" if documents < 1 << 31 else "i8")
        """The pack of each document, in the order in which they are placed. (N,)"""
        self._budget, self._placed = budget, 0
        self._with: defaultdict[int, deque[Array]] = defaultdict(deque)  # room -> packs, in pieces
        self._some = 0  # bit r is set where packs with room r are

    def place(self, length: int, number: int) -> None:
        """Place `number` documents of one length, none longer than those before."""
        while number:
            wide = self._some >> length
            room = length + (wide & -wide).bit_length() - 1 if wide else self._budget
            each = room // length  # a pack that got one is the fullest with room, so it gets the next as well
            packs = self._take(room, -(-number // each)) if wide else self._new(-(-number // each))
            placed = min(number, len(packs) * each)
            self._fill(packs, placed, each)
            full, rest = divmod(placed, each)
            self._give(room - each * length, packs[:full])
            if rest:
                self._give(room - rest * length, packs[full:])
            number -= placed

    def _fill(self, packs: Array, documents: int, each: int) -> None:
        import numpy

        self.pack_of[self._placed : self._placed + documents] = numpy.repeat(packs, each)[:documents]
        self._placed += documents

    def _new(self, number: int) -> Array:
        import numpy

        self.packs += number
        return numpy.arange(self.packs - number, self.packs, dtype=self.pack_of.dtype)

    def _take(self, room: int, most: int) -> Array:
        """Up to `most` of the packs with this room, the first come first."""
        import numpy

        pieces, waiting = [], self._with[room]
        while waiting and most:
            piece = waiting.popleft()
            if len(piece) > most:
                waiting.appendleft(piece[most:])
            pieces.append(piece[:most])
            most -= len(pieces[-1])
        if not waiting:
            self._some ^= 1 << room
        taken: Array = numpy.concatenate(pieces)
        return taken

    def _give(self, room: int, packs: Array) -> None:
        if room and len(packs):
            self._with[room].append(packs)
            self._some |= 1 << room
