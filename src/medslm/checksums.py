"""Compares files with the checksums that the Hub or a bundle states for them, once for each state of a file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from medslm import files
from medslm.errors import MedslmError

DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
State = list[object]  # size, time of the last change in nanoseconds, checksum


def git_id(path: Path) -> str:
    """The SHA-1 that git gives a file: of its size and its bytes."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def matches(path: Path, expected: str) -> bool:
    """Whether a file is the one with this checksum: SHA-256 (64 digits, large files) or git's id (40 digits)."""
    return (files.sha256(path) if len(expected) == 64 else git_id(path)) == expected


def stated_by_cache(path: Path) -> str:
    """The checksum that the Hub's client keeps as the name of the blob behind a file of a snapshot, or nothing.

    One link is followed, not all: blobs may themselves be links into a store that names files otherwise.
    https://huggingface.co/docs/huggingface_hub/guides/manage-cache
    """
    name = Path(os.readlink(path)).name if path.is_symlink() else ""
    return name if DIGEST.fullmatch(name) else ""


def damaged(folder: Path, expected: Mapping[str, str], stamps: Path) -> list[str]:
    """The files of `folder` that are not what their checksums (path -> digest, or nothing if unknown) say.

    What was found whole is noted in `stamps`, and looked at again only when its size or time has changed.
    """
    noted = _noted(stamps)
    held: dict[str, State] = noted.setdefault(str(folder), {})
    states = {path: _state(folder / path, digest) for path, digest in expected.items() if digest}
    new = [path for path, state in states.items() if held.get(path) != state]
    wrong = [path for path in new if not matches(folder / path, expected[path])]
    if set(new) - set(wrong):
        held.update({path: states[path] for path in new if path not in wrong})
        files.write_json(stamps, noted)
    return wrong


def _noted(stamps: Path) -> dict[str, dict[str, State]]:
    with contextlib.suppress(MedslmError):  # no note, or a broken one: everything is looked at again
        found: dict[str, dict[str, State]] = files.read_json(stamps, "the next start")
        return found
    return {}


def _state(path: Path, digest: str) -> State:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, digest]


def remove(path: Path) -> bool:
    """Delete a file of a snapshot with the blob behind it; false where the medium does not allow it."""
    behind = {path, path.resolve()}
    if path.is_symlink():
        behind.add(path.parent / os.readlink(path))
    try:
        for each in behind:
            each.unlink(missing_ok=True)
    except OSError:
        return False
    return True
