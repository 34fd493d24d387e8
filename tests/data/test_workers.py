"""Work over processes is the work of one: in order, no further ahead than needed, and its errors arrive as they were."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from medslm.data import workers
from medslm.data.corpus import Skip
from medslm.data.formats import Unwritable
from medslm.errors import MedslmError
from medslm.registry import UnknownName
from toy_work import ERRORS, dies, fails, here, slow_square

PROCESSES = 2


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are started after the second piece."""
    monkeypatch.setattr(workers, "ALONE", 2)


class Pulled:
    """Numbers, and how many of them were taken."""

    def __init__(self, number: int) -> None:
        self.number, self.taken = number, 0

    def __iter__(self) -> Iterator[int]:
        for number in range(self.number):
            self.taken += 1
            yield number


def test_results_come_in_the_order_of_the_pieces_though_the_first_take_longest() -> None:
    assert list(workers.each(slow_square, range(12), PROCESSES)) == [number**2 for number in range(12)]


@pytest.mark.parametrize(("processes", "pieces"), [(1, 9), (PROCESSES, 2), (PROCESSES, 0)])
def test_little_work_and_a_single_core_start_no_process(processes: int, pieces: int) -> None:
    assert list(workers.each(here, range(pieces), processes)) == [os.getpid()] * pieces


def test_much_work_is_done_elsewhere_and_pulled_only_so_far_ahead() -> None:
    pulled, ahead = Pulled(20), []
    done = []
    for number, process in enumerate(workers.each(here, pulled, PROCESSES), 1):
        done.append(process)
        ahead.append(pulled.taken - number)
    assert done[:2] == [os.getpid()] * 2 and os.getpid() not in done[2:]
    assert len(done) == 20
    assert max(ahead) == workers.AHEAD * PROCESSES - 1


@pytest.mark.parametrize("kind", sorted(ERRORS))
def test_an_error_in_a_process_arrives_as_itself(kind: str) -> None:
    with pytest.raises(type(ERRORS[kind])) as arrived:
        list(workers.each(fails, ["fine"] * 3 + [kind, "fine"], PROCESSES))
    assert type(arrived.value) is type(ERRORS[kind]) and str(arrived.value) == str(ERRORS[kind])
    if isinstance(arrived.value, Unwritable):
        assert arrived.value.reason == "special token in the text"


def test_the_errors_that_are_tried_are_those_that_preparation_raises() -> None:
    assert {type(error) for error in ERRORS.values()} == {MedslmError, UnknownName, Unwritable, Skip}


def test_a_process_that_is_killed_is_a_sentence() -> None:
    with pytest.raises(MedslmError, match="one of 2 processes was ended from outside"):
        list(workers.each(dies, range(6), PROCESSES))


def test_an_error_in_the_rows_ends_the_processes_and_arrives_as_itself() -> None:
    def rows() -> Iterator[int]:
        yield from range(5)
        raise MedslmError("line 6 is no JSON")

    with pytest.raises(MedslmError, match="line 6 is no JSON"):
        list(workers.each(here, rows(), PROCESSES))


def test_a_reader_who_leaves_early_does_not_wait_for_the_rest() -> None:
    pulled = Pulled(1000)
    results = workers.each(slow_square, pulled, PROCESSES)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    began = time.monotonic()
    results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 10
    assert pulled.taken < 10
