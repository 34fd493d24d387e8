"""Checkpoints: what of ours is in one, which one to go on from, and whether there is room for the next."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from medslm import files
from medslm.errors import MedslmError
from medslm.train.pace import Done

log = logging.getLogger(__name__)

SECONDS = "seconds.json"
"""Training time so far; written after everything else, so a checkpoint that has it is whole."""

DONE = "done.json"
"""The fields of `pace.Done`."""


def seal(checkpoint: Path, done: Done, seconds: float) -> None:
    """Add our own part to a checkpoint that transformers has written, and with it the sign that it is whole."""
    files.write_json(checkpoint / DONE, done.as_dict())
    files.write_json(checkpoint / SECONDS, seconds)


def last(folder: Path) -> Path | None:
    """The newest complete checkpoint. One that was cut off while it was written is removed, and said."""
    steps = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True)
    for path in steps:
        if (path / SECONDS).exists():
            return path
        log.warning("%s was cut off while it was written; removed.", path)
        files.remove(path)
    return None


def seconds(checkpoint: Path | None) -> float:
    """Training time up to a checkpoint."""
    return 0.0 if checkpoint is None else float(files.read_json(checkpoint / SECONDS, "the run itself"))


def done(checkpoint: Path | None) -> Done:
    """What was computed up to a checkpoint."""
    return Done() if checkpoint is None else Done(**files.read_json(checkpoint / DONE, "the run itself"))


def space(trainable_parameters: int) -> int:
    """Bytes of disk that a run's checkpoints take: two that are kept and one being written.

    A checkpoint holds each trainable parameter in float32 and AdamW's two moments, and 21 MiB at most of all the rest.
    """
    return 3 * 12 * trainable_parameters + 2**26


def require_space(folder: Path, trainable_parameters: int) -> None:
    """Raise `MedslmError` if the disk cannot take the checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = space(trainable_parameters), shutil.disk_usage(folder).free
    if free < needed:
        raise MedslmError(
            f"{folder} needs {needed / 2**30:.2f} GiB for checkpoints and its disk has {free / 2**30:.2f} GiB free; "
            "free some, or choose another place with --runs"
        )
