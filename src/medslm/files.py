"""Files that are either whole or absent: written beside their place, then renamed into it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medslm.errors import MedslmError

TEMPORARY = re.compile(r"\.(.+)\.\d+-[0-9a-f]{8}")
"""What `beside` calls a file or folder before it has its name."""


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` (file or folder); on success it replaces `path`, on failure it is removed.

    Raises `MedslmError` for a full disk, a read-only place or missing rights.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")  # hidden, and no other process's
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            if temporary.is_dir() and path.is_dir():
                shutil.rmtree(path)
            os.replace(temporary, path)
        finally:
            remove(temporary)
    except OSError as error:
        reason = error.strerror or error
        raise MedslmError(f"cannot write {path}: {reason}; free space or choose another place") from error


def unfinished(path: Path) -> str | None:
    """What a file or folder was to be called that a killed process has left within `beside`; none for any other."""
    found = TEMPORARY.fullmatch(path.name)
    return found and found[1]


def remove(path: Path) -> None:
    """Delete a file or a folder that may not exist."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text in one step."""
    with beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON in one step; NaN and infinity raise `ValueError`, since JSON has neither."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def as_json(value: Any) -> Any:
    """The value as it comes back from a JSON file: tuples are lists, keys are strings."""
    return json.loads(json.dumps(value))


def read_json(path: Path, made_by: str) -> Any:
    """Read JSON; `made_by` is the command that writes it, named in the `MedslmError` when it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MedslmError(f"{path} is not there; `{made_by}` writes it") from None
    except ValueError as error:
        raise MedslmError(f"{path} is not valid JSON ({error}); write it again with `{made_by}`") from error


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
