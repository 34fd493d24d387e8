"""Where the command line finds runs and cards."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import tyro

from medslm.errors import MedslmError

Name = Annotated[str, tyro.conf.Positional]
Runs = Path("runs")
Cards = Path("model_cards")


def folder_of(name: str, runs: Path) -> Path:
    """The folder of a run. Raises `MedslmError` with the runs that there are."""
    if not name or not (runs / name).is_dir():
        there = sorted(path.parent.name for path in runs.glob("*/run.json")) or ["none"]
        raise MedslmError(
            f"no run is called '{name}' in {runs}; there: {', '.join(there)}. `accelerate launch` makes one"
        )
    return runs / name


def elsewhere(runs: Path, option: str = "--runs ") -> str:
    """What a command that is told next says of the folder of runs; nothing of the usual one."""
    return "" if runs == Runs else f" {option}{shlex.quote(str(runs))}"
