"""A process that is told to end cleans up, and one that was told not to listen does not."""

from __future__ import annotations

import os
import signal

import pytest

from medslm import ending


def worked_until(number: signal.Signals, cleaned: list[int]) -> None:
    with ending.by(signal.SIGTERM, signal.SIGHUP):
        try:
            os.kill(os.getpid(), number)
        finally:
            cleaned.append(number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_what_is_at_work_as_an_interrupt_does_and_is_left_as_it_was(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # a suite under nohup ignores one of them
    cleaned: list[int] = []
    try:
        with pytest.raises(SystemExit) as ended:
            worked_until(number, cleaned)
        assert (ended.value.code, cleaned) == (128 + number, [number])
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending.by(signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
