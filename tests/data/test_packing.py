"""Packs hold every document once, are never too full, and are as full as those of the algorithms known."""

from __future__ import annotations

import bisect
import warnings
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medslm.data.packing import Packs, pack
from medslm.errors import MedslmError

PROBLEMS = st.integers(1, 60).flatmap(
    lambda budget: st.tuples(st.lists(st.integers(1, budget), max_size=200), st.just(budget))
)


def drawn(number: int, budget: int, kind: str) -> numpy.ndarray[Any, Any]:
    order = numpy.random.default_rng(number)
    if kind == "uniform":
        return order.integers(1, budget + 1, number)
    return numpy.clip(order.lognormal(numpy.log(budget / 6), 0.8, number), 1, budget).astype("i4")


def sums(packs: Packs, lengths: numpy.ndarray[Any, Any]) -> list[int]:
    return [int(lengths[packs[number]].sum()) for number in range(len(packs))]


def first_fit(lengths: list[int], budget: int) -> int:
    """The number of packs if each document, in the order given, goes into the first with room."""
    rooms: list[int] = []
    for length in lengths:
        place = next((place for place, room in enumerate(rooms) if room >= length), None)
        if place is None:
            rooms.append(budget - length)
        else:
            rooms[place] -= length
    return len(rooms)


def best_fit_decreasing(lengths: list[int], budget: int) -> list[int]:
    """The plain algorithm, a document at a time: the room left in each pack."""
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        place = bisect.bisect_left(rooms, length)
        room = rooms.pop(place) if place < len(rooms) else budget
        bisect.insort(rooms, room - length)
    return rooms


@given(PROBLEMS)
def test_every_document_is_in_one_pack_and_no_pack_is_empty_or_too_full(problem: tuple[list[int], int]) -> None:
    lengths, budget = numpy.array(problem[0], int), problem[1]
    packs = pack(lengths, budget)
    assert sorted(packs.order.tolist()) == list(range(len(lengths)))
    assert all(0 < total <= budget for total in sums(packs, lengths))
    assert packs.offsets[0] == 0 and packs.offsets[-1] == len(lengths)


@given(PROBLEMS)
def test_packs_are_those_of_best_fit_decreasing(problem: tuple[list[int], int]) -> None:
    lengths, budget = numpy.array(problem[0], int), problem[1]
    rooms = [budget - total for total in sums(pack(lengths, budget), lengths)]
    assert sorted(rooms) == best_fit_decreasing(*problem)


@given(PROBLEMS)
def test_packs_are_no_more_than_theory_allows_beside_first_fit(problem: tuple[list[int], int]) -> None:
    """At most 11/9 of the fewest possible and 6/9 (Dósa 2007, doi:10.1007/978-3-540-74450-4_1); first fit has no fewer."""
    assert 9 * len(pack(numpy.array(problem[0], int), problem[1])) <= 11 * first_fit(*problem) + 6


@pytest.mark.parametrize("kind", ["uniform", "lognormal"])
def test_packs_of_usual_lengths_are_fuller_than_those_of_first_fit(kind: str) -> None:
    lengths = drawn(2_000, 512, kind)
    packs = pack(lengths, 512)
    assert len(packs) < first_fit(lengths.tolist(), 512)
    assert packs.fill == pytest.approx(lengths.sum() / (512 * len(packs)))
    assert packs.fill > 0.97


@pytest.mark.parametrize("kind", ["uniform", "lognormal"])
def test_packs_are_as_full_as_those_of_trl(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TRL's own imports
        from datasets import Dataset
        from trl.data_utils import pack_dataset
    lengths = drawn(3_000, 256, kind)
    rows = Dataset.from_dict({"input_ids": [[0] * int(length) for length in lengths]})
    theirs = pack_dataset(rows, 256, "bfd", {"batch_size": len(rows)})  # TRL packs each batch by itself
    assert sum(map(len, theirs["input_ids"])) == lengths.sum()
    assert pack(lengths, 256).fill >= lengths.sum() / (256 * len(theirs)) - 0.005


@pytest.mark.parametrize("type_", ["u1", "i2", "u4", "i8", "u8"])
def test_every_type_of_integer_gives_the_same_packs_every_time(type_: str) -> None:
    lengths = drawn(500, 100, "uniform")
    one, other = pack(lengths, 100), pack(lengths.astype(type_), 100)
    assert (one.order == other.order).all() and (one.offsets == other.offsets).all()


def test_documents_of_one_length_keep_their_order() -> None:
    packs = pack(numpy.array([3, 5, 3, 3, 5, 3]), 6)
    assert [packs[number].tolist() for number in range(len(packs))] == [[1], [4], [0, 2], [3, 5]]


def test_a_budget_beyond_16_bits_is_packed() -> None:
    packs = pack(numpy.array([60_000, 40_000, 70_000, 30_000]), 100_000)
    assert [packs[number].tolist() for number in range(len(packs))] == [[2, 3], [0, 1]]
    assert packs.fill == 1


def test_no_document_needs_no_pack() -> None:
    packs = pack(numpy.empty(0, "i4"), 8)
    assert (len(packs), packs.fill, packs.offsets.tolist()) == (0, 0.0, [0])
    with pytest.raises(IndexError):
        packs[0]


@pytest.mark.parametrize(
    ("lengths", "budget", "message"),
    [
        ([5, 9, 12], 8, r"2 of 3 documents are longer than a pack of 8 tokens \(the longest has 12\)"),
        ([5, 0, 0], 8, "2 of 3 documents have no token"),
        ([5, -1], 8, "1 of 2 documents have no token"),
        ([], 0, "packs of 0 tokens"),
    ],
)
def test_what_cannot_be_packed_whole_is_refused_with_its_number(lengths: list[int], budget: int, message: str) -> None:
    with pytest.raises(MedslmError, match=message):
        pack(numpy.array(lengths, int), budget)
