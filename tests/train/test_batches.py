"""Which examples a step takes, who computes them, and how they are laid out ahead of time."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import datasets
import numpy
import pytest
import torch
from accelerate import skip_first_batches
from hypothesis import given, settings
from hypothesis import strategies as st

from medslm.errors import MedslmError
from medslm.train import batches
from medslm.train.batches import Ahead, Documents, Layout, Order


def rows(lengths: list[int]) -> datasets.Dataset:
    """Row `n` has the token `n` throughout, and learns all of it but the first two."""
    ids = [[number] * length for number, length in enumerate(lengths)]
    labels = [[-100, -100, *row[2:]][: len(row)] for row in ids]
    return datasets.Dataset.from_dict({"input_ids": ids, "labels": labels, "length": lengths})


def numbers(batch: batches.Batch) -> list[int]:
    return sorted(int(ids[0]) for ids, _ in batch.documents)


@given(examples=st.integers(1, 60), each=st.integers(1, 20), epoch=st.integers(0, 3))
@settings(deadline=None, derandomize=True)
def test_every_example_is_in_one_step_of_an_epoch_and_no_step_is_short_but_the_last(
    examples: int, each: int, epoch: int
) -> None:
    order = Order(examples, each, seed=1)
    order.set_epoch(epoch)
    steps = list(order)
    assert len(steps) == len(order)
    assert sorted(numpy.concatenate(steps)) == list(range(examples))
    assert all(len(step) == each for step in steps[:-1])


def test_the_order_is_another_in_each_epoch_and_for_each_seed_and_always_the_same_for_one() -> None:
    def first(seed: int, epoch: int) -> tuple[int, ...]:
        order = Order(1000, 8, seed)
        order.set_epoch(epoch)
        return tuple(next(iter(order)))

    seen = [first(seed, epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert len(set(seen)) == 4
    assert seen == [first(seed, epoch) for seed in (1, 2) for epoch in (0, 1)]


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40),
    world_size=st.integers(1, 5),
    room=st.sampled_from([0, 50, 64, 500]),
)
@settings(deadline=None, derandomize=True)
def test_the_processes_share_a_step_without_rest_and_know_its_sums(
    lengths: list[int], world_size: int, room: int
) -> None:
    whole = Documents(rows(lengths)).__getitems__(range(len(lengths)))
    shares = [Layout(room, rank, world_size)(whole) for rank in range(world_size)]
    assert sorted(number for share in shares for number in numbers(share)) == list(range(len(lengths)))
    sizes = [len(share.documents) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    for share in shares:
        assert share.tokens == sum(lengths)
        assert share.predicted == sum(len(one.targets) for other in shares for one in other.passes)
        assert sum(one.tokens for one in share.passes) == sum(len(ids) for ids, _ in share.documents)
        assert all(one.tokens <= room if room else one.documents == 1 for one in share.passes)


def test_the_processes_have_about_as_many_tokens_each() -> None:
    lengths = numpy.random.default_rng(0).lognormal(5, 0.7, 64).astype(int) + 1
    whole = Documents(rows(lengths.tolist())).__getitems__(range(64))
    tokens = [sum(one.tokens for one in Layout(0, rank, 4)(whole).passes) for rank in range(4)]
    assert max(tokens) < 1.1 * min(tokens)


def test_documents_are_read_as_they_were_written_from_shuffled_rows_as_well() -> None:
    shuffled = datasets.concatenate_datasets([rows([3, 1, 4]), rows([2, 7])]).select([4, 0, 3, 3])
    read = Documents(shuffled).__getitems__([0, 3, 1])
    assert [ids.tolist() for ids, _ in read] == [[1] * 7, [0, 0], [0] * 3]
    assert [labels.tolist() for _, labels in read] == [[-100, -100, *[1] * 5], [-100, -100], [-100, -100, 0]]


def test_lengths_are_those_of_shuffled_rows_in_their_order() -> None:
    assert batches.lengths(rows([3, 1, 4]).select([2, 0, 2])).tolist() == [4, 3, 4]


def test_batches_that_are_skipped_are_those_that_would_have_come_first() -> None:
    """As `Trainer` resumes: accelerate skips, and the epoch is set on what it gives back."""
    table = rows([2, 3, 4, 5, 6, 7, 8])
    whole, rest = (batches.training(table, 2, 5, Layout(100)) for _ in range(2))
    whole.set_epoch(1)
    skipping = skip_first_batches(rest, 2)
    skipping.batch_sampler.batch_sampler.set_epoch(1)
    assert [numbers(batch) for batch in skipping] == [numbers(batch) for batch in whole][2:]


@pytest.mark.parametrize("rooms", [(0, 0), (64, 64), (64, 200), (0, 64)])
def test_each_validation_row_is_judged_by_one_process_however_large_their_passes(rooms: tuple[int, int]) -> None:
    lengths = [5, 60, 13, 30, 31, 2, 9]
    table = rows(lengths)
    loaders = [
        batches.validation(table, numpy.array(lengths), Layout(room, rank, 2)) for rank, room in enumerate(rooms)
    ]
    found = [batch for loader in loaders for batch in loader]
    assert all(len(batch.passes) == 1 for batch in found)
    assert sorted(number for batch in found for number in numbers(batch)) == list(range(7))
    assert sum(batch.predicted for batch in found) == sum(max(0, length - 2) for length in lengths)


def test_a_process_without_validation_rows_judges_none() -> None:
    assert list(batches.validation(rows([4]), numpy.array([4]), Layout(8, 1, 2))) == []


def test_a_batch_can_be_laid_out_again_and_holds_the_same() -> None:
    batch = Layout(1000)(Documents(rows([10, 20, 30, 40])).__getitems__([0, 1, 2, 3]))
    again = batch.laid(50)
    assert (len(batch.passes), len(again.passes)) == (1, 2)
    ids = [torch.cat([one.input_ids[0] for one in laid.passes]).sort().values for laid in (batch, again)]
    assert torch.equal(*ids)


def test_a_document_without_room_is_refused() -> None:
    with pytest.raises(MedslmError, match="longer than a pack of 8 tokens"):
        Layout(8)(Documents(rows([9])).__getitems__([0]))


def thread() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "batches"]


def gone() -> bool:
    """Whether the thread ends within a moment."""
    for _ in range(200):
        if not thread():
            return True
        time.sleep(0.01)
    return False


def test_what_is_made_ahead_comes_in_order_and_then_ends() -> None:
    ahead = Ahead(iter(range(10)))
    assert list(ahead) == list(range(10))
    assert next(ahead, None) is None
    assert gone()


def test_no_more_is_made_ahead_than_was_asked_for() -> None:
    made = []

    def source() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    ahead = Ahead(source(), 2)
    assert next(ahead) == 0
    time.sleep(0.2)
    assert len(made) == 4  # one taken, two waiting, one in the thread's hands
    ahead.close()
    assert gone()


def test_an_error_in_the_thread_is_raised_to_whom_asks() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise MedslmError("the row cannot be read")

    ahead = Ahead(source())
    assert next(ahead) == 1
    with pytest.raises(MedslmError, match="cannot be read"):
        next(ahead)
    assert next(ahead, None) is None
    assert gone()


@pytest.mark.parametrize("how", ["closed", "forgotten"])
def test_the_thread_ends_when_nobody_asks_any_more(how: str) -> None:
    ahead: Any = Ahead(iter(lambda: 0, 1))
    assert next(ahead) == 0
    if how == "closed":
        ahead.close()
        assert next(ahead, None) is None
    del ahead
    gc.collect()
    assert gone()
