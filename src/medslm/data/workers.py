"""Work in order over all cores: what is small is done here, what is large in processes of its own."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")

ALONE = 40
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


def each(work: Callable[[Piece], Result], pieces: Iterable[Piece], processes: int) -> Iterator[Result]:
    """`map(work, pieces)`, in order, in up to `processes` processes; `work` and the pieces are sent by pickle.

    Processes are spawned and not forked: a fork of a process with threads (tokenizers, torch) may lock up.
    """
    remaining = iter(pieces)
    yield from map(work, itertools.islice(remaining, ALONE if processes > 1 else None))
    first = next(remaining, None)
    if first is None:
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), _start, (work,)) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for piece in itertools.chain([first], remaining):
                waiting.append(pool.submit(_run, piece))
                if len(waiting) >= AHEAD * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
