"""What happens when this process is told to end: it cleans up, and ends what it has started."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def by(*numbers: signal.Signals) -> Iterator[None]:
    """Let these signals end this process as an interrupt does, so that what is half written goes, and children end.

    One that is ignored stays so, as SIGHUP under nohup. Of the main thread alone, which is the one that Python tells of
    signals.
    """

    def end(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
