"""The command `medslm doctor`: what this machine is, what fits on it, and whether a recipe runs here."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import tyro


def doctor(
    recipe: Annotated[Path | None, tyro.conf.Positional] = None,
    *,
    online: bool = False,
    strict: bool = False,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    show_examples: bool = False,
    bases: tuple[str, ...] = (),
    lora: str = "all-linear-r16",
    max_length: int = 1024,
    data: tuple[str, ...] = (),
    runs: Path = Path("runs"),
) -> None:
    """Look at this machine, its packages and what fits on it; with a recipe also at its rows. Nothing is trained.

    Exit status 0: all is well; 1: there are warnings, and --strict was given; 2: something will not run.

    Args:
        recipe: A recipe file, such as recipes/smollm2_icd10_lora.py.
        online: Ask the Hub whether it answers; otherwise nothing is asked of the network.
        strict: Let warnings count.
        as_json: Print JSON, for scripts.
        show_examples: Show an example even if the data is not public; it is printed as it is, patients included.
        bases: Bases of the table; by default all.
        lora: LoRA preset of the table.
        max_length: Tokens of each row of the table.
        data: Benchmarks in files, NAME=PATH each, where there is no Hub.
        runs: Folder of the runs.
    """
    if not online:  # read by the Hub's client when it is imported
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    from medslm.data import given
    from medslm.doctor import examine

    given.use(data)
    found = examine(
        recipe,
        online=online,
        show_examples=show_examples,
        names=bases or None,
        lora=lora,
        max_length=max_length,
        runs=runs,
    )
    report = found.as_json(strict)
    told = json.dumps(report, indent=2, ensure_ascii=False) if as_json else found.text()
    try:
        print(_printable(told))
    except UnicodeEncodeError:  # letters that the terminal lacks are written as JSON and Python escape them
        print(json.dumps(report, indent=2) if as_json else _printable(told, "backslashreplace"))
    if status := found.status(strict):
        raise SystemExit(status)


def _printable(told: str, errors: str = "strict") -> str:
    """The text as the terminal's encoding has it. Raises `UnicodeEncodeError` for letters that it lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    return told.encode(encoding, errors).decode(encoding)
