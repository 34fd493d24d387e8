"""The one exception a user should ever read: a sentence, not a traceback."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


class MedslmError(Exception):
    """What was asked, what was there, what to do: one or two sentences, shown as they are."""


@contextlib.contextmanager
def as_exit_code() -> Iterator[None]:
    """Turn a `MedslmError` into a line on stderr and exit status 2; anything else keeps its traceback.

    `MEDSLM_TRACEBACK=1` keeps the traceback of a `MedslmError` too, for a bug report.
    """
    try:
        yield
    except MedslmError as error:
        if os.environ.get("MEDSLM_TRACEBACK") == "1":
            raise
        print(f"medslm: {error}", file=sys.stderr)
        raise SystemExit(2) from None
