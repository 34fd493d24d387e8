"""The Hub and Weights & Biases: what would be asked of the network, and with `--online` whether it answers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from medslm import asking, environment, lock
from medslm.doctor.finding import Finding
from medslm.errors import MedslmError
from medslm.train import tracking

PROBE = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""An open repository that is asked for where no recipe names another one."""


def findings(online: bool, bases: Iterable[str] = ()) -> Iterator[Finding]:
    """One line on the Hub, one on the lock, one on W&B; `online` asks the Hub for the `bases`, with a deadline."""
    from huggingface_hub import constants, get_token

    try:
        login = "logged in" if get_token() else "not logged in"
    except OSError as error:
        login = f"whether logged in is not known ({error.strerror}: {error.filename})"
    if folder := environment.bundle():
        yield _bundle(folder)
    elif not online:
        yield Finding("Hub", f"{constants.ENDPOINT}, {login}; not asked (--online does)")
    else:
        yield from _asked(list(bases) or [PROBE], f"{constants.ENDPOINT}, {login}")
    yield _lock()
    yield Finding("W&B", _tracking())


def _bundle(folder: Path) -> Finding:
    if not folder.is_dir():
        told = f"MEDSLM_BUNDLE names {folder}, from which everything would be read, and which is no folder"
        return Finding("Hub", told, "failure", "name the folder that `medslm bundle` has made, or unset MEDSLM_BUNDLE")
    return Finding("Hub", f"not used: everything is read from the bundle {folder}")


def _lock() -> Finding:
    try:
        pinned = lock.read(lock.path())
    except MedslmError as error:
        return Finding("lock", str(error), "failure")
    number = len(pinned.models) + len(pinned.datasets)
    return Finding(
        "lock", f"{lock.path()} pins {number} repositories" if number else "none: `medslm lock` pins commits"
    )


def _asked(repositories: Iterable[str], where: str) -> Iterator[Finding]:
    for repo_id in repositories:
        try:  # of a lock that cannot be read as well, which has a line of its own
            asking.head(repo_id, "model", lock.commit(repo_id, "model") or "main")
        except MedslmError as error:
            yield Finding("Hub", f"{where}: {error}", "warning", "what is in the cache can be used without it")
        else:
            yield Finding("Hub", f"{where}: {repo_id} can be read")


def _tracking() -> str:
    """As `train.tracking` decides it; of the key only whether there is one."""
    import importlib.util

    if importlib.util.find_spec("wandb") is None:
        return "not installed: no curve is sent anywhere"
    key = "a key is there" if tracking.has_key() else "there is no key"
    mode = os.environ.get("WANDB_MODE") or ("online" if tracking.has_key() else "offline")
    return f"{mode} ({key}{', WANDB_MODE is set' if os.environ.get('WANDB_MODE') else ''})"
