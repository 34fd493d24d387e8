"""Work for processes that are started anew: functions of a module that imports little."""

from __future__ import annotations

import os
import time

from medslm.data.corpus import Skip
from medslm.data.formats.refusal import Unwritable
from medslm.errors import MedslmError
from medslm.registry import UnknownName

ERRORS: dict[str, Exception] = {
    "sentence": MedslmError("line 3 is no JSON"),
    "unknown": UnknownName("no corpus is called 'medmqa'; known: medqa"),
    "unwritable": Unwritable("special token in the text", "example 7: its text holds '<|im_end|>'"),
    "skip": Skip("the key is hidden"),
}


def slow_square(number: int) -> int:
    """The first ones take longest."""
    time.sleep(0.2 if number < 4 else 0.0)
    return number**2


def here(_: object) -> int:
    """The process that works."""
    return os.getpid()


def dies(piece: int) -> int:
    """Ends its process at the fourth piece, as the kernel does when memory runs out."""
    if piece == 3:
        os._exit(9)
    return piece


def fails(piece: str) -> str:
    """Raises what is asked for."""
    if piece in ERRORS:
        raise ERRORS[piece]
    return piece
