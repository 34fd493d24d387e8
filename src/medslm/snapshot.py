"""A snapshot: files of one repository of the Hub at one commit, fetched once and checked byte by byte."""

from __future__ import annotations

import contextlib
import fnmatch
import logging
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from medslm import asking, checksums, environment, files, lock
from medslm.asking import Unreachable
from medslm.errors import MedslmError
from medslm.lock import Kind

log = logging.getLogger(__name__)

NEVER = ["*.py", "*.pyc", "*.so", "*.dll", "*.pkl", "*.pickle", "*.joblib", "*.bin", "*.pt", "*.pth", "*.ckpt"]
"""What Python would run or unpickle is not fetched, whatever the patterns say."""
MANIFEST = "bundle.json"

_heads: dict[tuple[str, str, Kind, str], str] = {}
"""What the Hub has said in this process: a run sees one commit, however often it asks."""


class Damaged(MedslmError):
    """A file whose bytes are not those that were published."""


@dataclass(frozen=True)
class Snapshot:
    """Files that were checked."""

    folder: Path
    commit: str
    """40 hexadecimal digits."""


def fetch(
    repo_id: str, kind: Kind = "model", patterns: Collection[str] = ("*",), commit: str | None = None
) -> Snapshot:
    """The files of a repository that match `patterns` (fnmatch), at `commit` or else at the commit of `resolve`.

    Raises `MedslmError` if they can neither be fetched nor found in the cache, and `Damaged` if a file is not the Hub's.
    """
    from filelock import FileLock

    commit = commit or resolve(repo_id, kind)
    folder = _repository(repo_id, kind) / "snapshots" / commit
    notes = _notes(repo_id, kind, commit)
    environment.make(notes)
    with FileLock(notes / "lock"):  # several processes of one launch come here together
        listed = listing(repo_id, kind, commit)
        names = matching(listed, patterns)
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            _download(repo_id, kind, commit, missing)
        _check(repo_id, kind, folder, {name: listed[name] for name in names}, notes)
    _keep_reference(repo_id, kind, commit)
    return Snapshot(folder, commit)


def matching(names: Iterable[str], patterns: Collection[str]) -> list[str]:
    """The names that match one of the patterns, and may be fetched at all."""
    wanted = [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    return [name for name in wanted if not any(fnmatch.fnmatchcase(name, pattern) for pattern in NEVER)]


def exactly(names: Iterable[str]) -> list[str]:
    """Patterns that match these names and no other."""
    return [re.sub(r"[*?[]", r"[\g<0>]", name) for name in names]


def resolve(repo_id: str, kind: Kind = "model", revision: str = "main") -> str:
    """The commit at which a repository is read: the locked one, else the newest of `revision`, which is said aloud."""
    if pinned := lock.commit(repo_id, kind):
        return pinned
    if folder := environment.bundle():
        raise MedslmError(
            f"the bundle {folder} does not hold {repo_id} ({lock.path()} does not name it); make it again on a machine "
            "with a network: `medslm bundle`"
        )
    which = "the newest commit"
    try:
        found = newest(repo_id, kind, revision)
    except Unreachable as error:
        reference = _repository(repo_id, kind) / "refs" / revision
        if not reference.is_file():
            raise Unreachable(f"{error} and is not in the local cache.") from error
        log.info("%s", error)
        found, which = reference.read_text(encoding="utf-8").strip(), "the newest commit in the local cache"
    what = f"{lock.path()} does not name {repo_id}" if lock.path().is_file() else f"no {lock.path()}"
    _say(f"{what}: using {which}; `medslm lock` pins it")
    return found


def newest(repo_id: str, kind: Kind, revision: str = "main") -> str:
    """The commit that the Hub has for a branch, asked once a process. Raises `Unreachable`, or `MedslmError` for a no."""
    from huggingface_hub import constants

    key = (constants.ENDPOINT, repo_id, kind, revision)
    if key not in _heads:
        _heads[key] = asking.head(repo_id, kind, revision)
    return _heads[key]


def listing(repo_id: str, kind: Kind, commit: str) -> Mapping[str, str]:
    """Every file of a commit -> its checksum: SHA-256, git's id, or nothing where no list can be had.

    Kept beside the caches, since a commit does not change. Where the Hub cannot be asked and there is no list, the
    files that the cache holds are listed.
    """
    if folder := environment.bundle():
        return _listed_by_bundle(folder, repo_id, kind, commit)
    kept = _notes(repo_id, kind, commit) / "files.json"
    if kept.is_file():
        found: dict[str, str] = files.read_json(kept, "the next start")
        return found
    try:
        found = asking.files(repo_id, kind, commit)
    except Unreachable as error:
        folder = _repository(repo_id, kind) / "snapshots" / commit
        if not folder.is_dir():
            raise Unreachable(f"{error} and is not in the local cache.") from error
        names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
        _say(f"{error}: the {len(names)} files of it in the local cache are taken for all that it has")
        return {name: checksums.stated_by_cache(folder / name) for name in names}
    files.write_json(kept, found)
    return found


def _listed_by_bundle(bundle: Path, repo_id: str, kind: Kind, commit: str) -> dict[str, str]:
    manifest = files.read_json(bundle / MANIFEST, "medslm bundle")
    stated: dict[str, str] = manifest.get("files", {})
    folder = _repository(repo_id, kind) / "snapshots" / commit
    prefix = folder.relative_to(bundle).as_posix() + "/"
    listed = {path.removeprefix(prefix): digest for path, digest in stated.items() if path.startswith(prefix)}
    if not listed:
        raise MedslmError(f"the bundle {bundle} does not hold {repo_id} at {commit}; make it again: `medslm bundle`")
    held = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if strangers := sorted(held - set(listed)):
        raise Damaged(f"{folder} holds {', '.join(strangers)}, which {MANIFEST} does not list; copy the bundle again")
    return listed


def _repository(repo_id: str, kind: Kind) -> Path:
    """The repository's folder in the bundle, or in the cache of the Hub's client."""
    from huggingface_hub import constants

    bundle = environment.bundle()
    home = bundle / "hub" if bundle else Path(constants.HF_HUB_CACHE)
    return home / f"{kind}s--{repo_id.replace('/', '--')}"


def _notes(repo_id: str, kind: Kind, commit: str) -> Path:
    return environment.cache() / "hub" / f"{kind}s--{repo_id.replace('/', '--')}" / commit


def _keep_reference(repo_id: str, kind: Kind, commit: str) -> None:
    """Note what a branch stood for, as the client does, so that the same is found without the Hub."""
    for (_, named, of_kind, revision), head in _heads.items():
        reference = _repository(repo_id, kind) / "refs" / revision
        same = reference.is_file() and reference.read_text(encoding="utf-8") == commit
        if (named, of_kind, head) == (repo_id, kind, commit) and not same:
            with contextlib.suppress(MedslmError):  # a cache that may only be read works as well
                files.write_text(reference, commit)


@cache
def _say(sentence: str) -> None:
    """Say something once, and in one process of a launch only."""
    if os.environ.get("RANK", "0") == "0":
        log.warning("%s", sentence)


def _download(repo_id: str, kind: Kind, commit: str, names: list[str]) -> None:
    lacking = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    if bundle := environment.bundle():
        raise Damaged(f"{lacking} of {repo_id} is not in the bundle {bundle} any more; copy the bundle again")
    try:
        asking.download(repo_id, kind, commit, exactly(names))
    except Unreachable as error:
        raise Unreachable(f"{error}, and the local cache lacks {lacking}.") from error


def _check(repo_id: str, kind: Kind, folder: Path, expected: Mapping[str, str], notes: Path) -> None:
    """Raise `Damaged` for files that are not what was published; they leave the cache."""
    if unknown := [name for name, digest in expected.items() if not digest]:
        _say(f"{len(unknown)} files of {repo_id} in {folder} carry no checksum of the Hub's, so they were not checked")
    wrong = checksums.damaged(folder, expected, notes / "checked.json")
    if not wrong:
        return
    what = f"{', '.join(wrong)} of {repo_id} ({kind}) is damaged: its checksum is not the published one."
    if environment.bundle():
        raise Damaged(f"{what} Copy the bundle {environment.bundle()} again.")
    removed = [checksums.remove(folder / name) for name in wrong]
    raise Damaged(
        f"{what} {'It was removed from the cache' if all(removed) else f'Delete it from {folder}'}: start again."
    )
