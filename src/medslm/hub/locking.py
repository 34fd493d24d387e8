"""Writes `hub.lock.toml`: asks the Hub for the newest commit of every repository, and keeps what it cannot learn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from medslm import lock, snapshot
from medslm.data.sources import hub
from medslm.errors import MedslmError
from medslm.hub import gather
from medslm.lock import Kind, Lock


@dataclass(frozen=True)
class Locked:
    """What became of the lock."""

    path: Path
    lock: Lock
    changed: tuple[str, ...]
    """Repositories whose commit is new in it."""
    left: dict[str, str]
    """Repository -> why its commit could not be learnt; its line in the lock, if any, is as it was."""


def write(recipes: Iterable[Path] = ()) -> Locked:
    """Lock what these recipes read, or all that is registered where none is named.

    Lines of other repositories stay. Raises `MedslmError` if not one commit could be learnt.
    """
    paths = list(recipes)
    needs = gather.of(map(gather.recipe, paths)) if paths else gather.everything()
    where = lock.path()
    old = lock.read(where) if where.is_file() else Lock()
    tables: dict[Kind, dict[str, str]] = {"model": dict(old.models), "dataset": dict(old.datasets)}
    asked: list[tuple[Kind, str, Callable[[], str]]] = [
        *(
            ("model", id, lambda id=id: snapshot.newest(id, "model"))
            for id in sorted({**needs.bases, **needs.tokenizers})
        ),
        *(("dataset", id, lambda id=id: hub.newest(id)) for id in sorted({one.hub_id for one in needs.datasets})),
    ]
    left: dict[str, str] = {}
    changed: list[str] = []
    for kind, repo_id, learn in tqdm(asked, desc="asking the Hub", leave=False, disable=None):
        try:
            commit = learn()
        except MedslmError as error:
            left[repo_id] = str(error)
            continue
        if tables[kind].get(repo_id) != commit:
            changed.append(repo_id)
        tables[kind][repo_id] = commit
    if asked and len(left) == len(asked):
        first = next(iter(left.values()))
        raise MedslmError(f"nothing was locked, {where} is as it was: {first}")
    found = Lock(tables["model"], tables["dataset"])
    lock.write(where, found)
    return Locked(where, found, tuple(changed), left)
