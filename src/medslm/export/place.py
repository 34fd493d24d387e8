"""Where an export is written: a new folder, beside which nothing stays of an export that was killed."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from medslm import files
from medslm.errors import MedslmError

LOCK = ".exporting"
"""In a folder that is not finished: locked as long as the export is alive, for the kernel unlocks what the dead held."""


def meant(out: Path) -> Path:
    """The new folder that `out` stands for, links followed. Raises `MedslmError` for one that could not be replaced."""
    other = "name a new folder with --out"
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise MedslmError(f"{out} exists already; {other}, or remove it")
        found = out.resolve()
        if found.is_dir() and found == Path.cwd():
            raise MedslmError(
                f"{out} is the folder in which you are, and would be replaced; {other}, such as {out / 'out'}"
            )
    except OSError as error:
        raise MedslmError(f"cannot look into {out}: {error.strerror or error}; {other}") from error
    if os.path.ismount(found):
        raise MedslmError(
            f"{out} is where a disk is mounted, and cannot be replaced; {other} in it, such as {out / 'out'}"
        )
    return found


@contextlib.contextmanager
def making(out: Path) -> Iterator[Path]:
    """Yield the hidden folder that becomes `out`, as `files.beside` does; what dead exports to `out` left goes first."""
    clear(out)
    with files.beside(out) as temporary:
        temporary.mkdir()
        with _held(temporary / LOCK):
            yield temporary
            files.remove(temporary / LOCK)


def share(folder: Path, like: Path) -> None:
    """Give each file of a folder the rights of one of them: safetensors lets nobody but its writer read what it writes."""
    rights = stat.S_IMODE(like.stat().st_mode)
    for path in folder.rglob("*"):
        if path.is_file() and stat.S_IMODE(path.stat().st_mode) != rights:
            path.chmod(rights)


def clear(out: Path) -> None:
    """Remove, and name, what killed exports have left beside `out`; what is locked belongs to one that is at work."""
    with contextlib.suppress(OSError):  # of another user, say: it takes room, and bars nothing
        for path in sorted(out.parent.iterdir()):
            lock = path / LOCK
            if files.unfinished(path) == out.name and lock.is_file() and not path.is_symlink() and _free(lock):
                files.remove(path)
                print(f"removed {path}, which an export that was killed had left", file=sys.stderr)


@contextlib.contextmanager
def _held(lock: Path) -> Iterator[None]:
    """Hold a new lock. Where the file system knows none, nobody can hold it either, and nothing is cleared."""
    import fcntl

    opened = os.open(lock, os.O_RDWR | os.O_CREAT)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(opened)


def _free(lock: Path) -> bool:
    """Whether nobody holds it."""
    import fcntl

    opened = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(opened)
