"""Work in order over all cores: what is small is done here, what is large in processes of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from medslm.errors import MedslmError

Piece = TypeVar("Piece")
Result = TypeVar("Result")

ALONE = 10
"""Pieces that are done in this process, before others are started: a process that has imported a tokenizer has cost ten
seconds."""

AHEAD = 2
"""Pieces that wait for each process, and no more, so that memory does not grow with the number of rows."""

_work: Callable[[Any], Any] | None = None


def _start(work: Callable[[Any], Any]) -> None:
    global _work
    _work = work


def _run(piece: Any) -> Any:
    assert _work is not None
    return _work(piece)


THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """What is started here computes in one thread: each of 16 processes with 16 threads took three times as long."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def each(work: Callable[[Piece], Result], pieces: Iterable[Piece], processes: int) -> Iterator[Result]:
    """`map(work, pieces)`, in order, in up to `processes` processes; `work` and the pieces are sent by pickle.

    Processes are spawned and not forked: a fork of a process with threads (tokenizers, torch) may lock up. Raises what
    `work` raises, and `MedslmError` if a process was killed.
    """
    remaining = iter(pieces)
    yield from map(work, itertools.islice(remaining, ALONE if processes > 1 else None))
    first = next(remaining, None)
    if first is None:
        return
    with _one_thread_each(), ProcessPoolExecutor(processes, get_context("spawn"), _start, (work,)) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for piece in itertools.chain([first], remaining):
                waiting.append(pool.submit(_run, piece))
                if len(waiting) >= AHEAD * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise MedslmError(
                f"one of {processes} processes was ended from outside, as a rule since memory ran out; free some, or leave "
                "them fewer cores with `taskset`. Nothing half-made was kept"
            ) from None
        finally:
            for future in waiting:
                future.cancel()
