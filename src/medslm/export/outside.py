"""Programs of others that convert: started as processes, silent unless they fail."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from medslm.errors import MedslmError

SHOWN = 25  # lines of a failed program's output


def words(program: str, option: str) -> set[str]:
    """What a program says of itself, in lower case; empty if it cannot be asked."""
    try:
        told = subprocess.run(
            [program, option], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return set()
    return set(re.findall(r"\w+", (told.stdout + told.stderr).lower()))


def run(command: Sequence[str | Path], made: Path, told: str) -> None:
    """Run a converter that is to write `made`. Raises `MedslmError` with the end of its output if it does not."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise MedslmError(f"{told} cannot be started: {error}; name another one") from error
    if done.returncode == 0 and made.exists():
        return
    ended = (
        f"was ended by signal {-done.returncode}" if done.returncode < 0 else f"failed with status {done.returncode}"
    )
    ended = ended if done.returncode else f"wrote no {made.name}"
    said = "\n".join(f"  {line}" for line in done.stdout.splitlines()[-SHOWN:]) or "  (nothing)"
    raise MedslmError(f"{told} {ended}, and nothing of the export is kept. The end of what it said:\n{said}")
