"""Checkpoints: what of ours is in one, which one to go on from, and whether there is room for the next."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import logging
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from accelerate import PartialState

from medslm import files
from medslm.errors import MedslmError
from medslm.train.pace import Done

log = logging.getLogger(__name__)

SECONDS = "seconds.json"
"""Training time so far; written after everything else, so a checkpoint that has it is whole."""

DONE = "done.json"
"""The fields of `pace.Done`."""

STATE = "state.json"
"""The fields of `loop.Progress`, in a checkpoint of a pretraining."""

NAME = re.compile(r"checkpoint-(\d+)")
"""Any other name beside them is a copy that somebody has made."""

WRITTEN = re.compile(r"checkpoint-\d+|start|adapter|model")
"""What a run writes within `files.beside`, where a process may be killed."""

TUNED = ("trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state*.pth", DONE, "*.safetensors")
"""What transformers and `seal` write, without which a run would go on, and not as it was; patterns of names."""

PRETRAINED = (STATE, "moments.pt", "*.safetensors")
"""The same of a checkpoint that `loop.Loop` writes."""


@contextlib.contextmanager
def whole_or_absent(folder: Path) -> Iterator[None]:
    """Remove a checkpoint that the disk does not take, with the `MedslmError` of `writing`."""
    try:
        with writing(folder):
            yield
    except MedslmError:
        files.remove(folder)
        raise


def seal(checkpoint: Path, done: Done, seconds: float) -> None:
    """Add our own part to a checkpoint that transformers has written, and with it the sign that it is whole."""
    files.write_json(checkpoint / DONE, done.as_dict())
    files.write_json(checkpoint / SECONDS, seconds)


def last(folder: Path) -> Path | None:
    """The newest complete checkpoint. One that was cut off while it was written is removed, and said.

    So is one of whose files a machine that lost its power, or a copy, has kept a part only. Of several processes the main
    one looks first, and removes; the others find what it has left.
    """
    with PartialState().main_process_first():
        for path in [*folder.parent.glob(".*"), *folder.glob(".*")]:
            if WRITTEN.fullmatch(files.unfinished(path) or ""):
                files.remove(path)
        return _last(folder)


def _last(folder: Path) -> Path | None:
    for path in sorted(numbered(folder), key=lambda path: int(path.name.split("-")[1]), reverse=True):
        reason = damage(path)
        if reason is None:
            return path
        log.warning("%s %s; removed.", path, reason)
        files.remove(path)
    return None


def numbered(folder: Path) -> list[Path]:
    """The checkpoints in a folder, whole or not."""
    return [path for path in folder.glob("checkpoint-*") if NAME.fullmatch(path.name) and path.is_dir()]


def damage(checkpoint: Path) -> str | None:
    """Why a checkpoint cannot be gone on from; none if each of its files is there from its beginning to its end.

    Weights are not read: a file of safetensors states its length where it begins, one of torch where it ends.
    """
    if not (checkpoint / SECONDS).exists():
        return "was cut off while it was written"
    names = [path.name for path in checkpoint.iterdir()]
    parts = TUNED if any(fnmatch.filter(names, part) for part in TUNED[:-1]) else PRETRAINED
    if lost := next((part for part in parts if not fnmatch.filter(names, part)), None):
        return f"is damaged (it has no {lost})"
    broken = next((path.name for path in sorted(checkpoint.iterdir()) if not _whole(path)), None)
    return broken and f"is damaged ({broken} is not whole)"


def _whole(path: Path) -> bool:
    if path.suffix == ".json":
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            return False
    elif path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy"):
                return True
        except (SafetensorError, OSError):
            return False
    elif path.suffix in (".pt", ".pth"):
        return zipfile.is_zipfile(path)
    return True


def require_best(folder: Path, step: int | None) -> None:
    """Raise `MedslmError` if `folder` has not the checkpoint of `step`, whose weights are the best so far."""
    if not step:
        return
    best = folder / f"checkpoint-{step}"
    if reason := damage(best) if best.is_dir() else "is not there":
        raise MedslmError(
            f"{best}, whose weights have the lowest validation loss of this run, {reason}; put it back, or remove "
            f"{folder.parent} to train again"
        )


def best_step(checkpoint: Path) -> int | None:
    """The step whose weights were the best up to a checkpoint that transformers has written; none or 0 before any."""
    found: int | None = files.read_json(checkpoint / "trainer_state.json", "the run itself")["best_global_step"]
    return found


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn what torch, safetensors and the system say of a disk that takes no more into a `MedslmError`."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
    except RuntimeError as error:
        if "inline_container" not in str(error):  # torch's name for the place where it writes files
            raise
        reason = "torch could not write all of it"
    else:
        return
    raise MedslmError(
        f"cannot write {place}: {reason}; free space, then start again: the run goes on from its last whole checkpoint"
    )


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
    """Raise `MedslmError` if the disk cannot take the checkpoints, or no folder can be made there."""
    require_folder(folder)
    needed, free = space(trainable_parameters), shutil.disk_usage(folder).free
    if free < needed:
        raise MedslmError(
            f"{folder} needs {needed / 2**30:.2f} GiB for checkpoints and its disk has {free / 2**30:.2f} GiB free; "
            "free some, or choose another place with --runs"
        )


def require_folder(folder: Path) -> None:
    """Make a run's folder. Raises `MedslmError` where none can be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MedslmError(
            f"cannot make {folder}: {error.strerror or error}; choose another place with --runs"
        ) from error
