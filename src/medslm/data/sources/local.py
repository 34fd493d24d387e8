"""Rows of one's own files: one file, or a folder of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medslm import files
from medslm.data.sources.readers import reading
from medslm.data.sources.readers.located import Located, say
from medslm.errors import MedslmError
from medslm.registry import nearest


@dataclass(frozen=True)
class Local:
    """A file, or a folder read with all its subfolders in the order of their names."""

    path: Path

    @property
    def name(self) -> str:
        """`local:notes.csv`: no folder of this machine is published."""
        return f"local:{self.path.resolve().name}"

    def files(self) -> list[Path]:
        """The files that are read, in order; what else a folder holds is said. Raises `MedslmError` if there is none."""
        if not self.path.exists():
            raise MedslmError(_missing(self.path))
        if not self.path.is_dir():
            return [self.path]
        inside = (path for path in sorted(self.path.rglob("*")) if path.is_file() and not self._is_hidden(path))
        there = [path for path in inside if not path.name.endswith(".manifest.json")]
        read = [path for path in there if reading.is_readable(path)]
        others = Counter(reading.suffix(path) or "without a suffix" for path in there if not reading.is_readable(path))
        told = ", ".join(f"{number} {kind}" for kind, number in sorted(others.items()))
        if not read:
            raise MedslmError(f"the folder {self.path} has no file that is read ({told or 'it is empty'}); {_KINDS}")
        if others:
            say(f"{self.path}: {len(read)} files are read; not read: {told}")
        return read

    def _is_hidden(self, path: Path) -> bool:
        return any(part.startswith(".") for part in path.relative_to(self.path).parts)

    def rows(self) -> Iterator[Located]:
        """Every row, in one order. Raises `MedslmError` with file and line of what cannot be read."""
        for path in self.files():
            for row in reading.rows(path):
                if path != self.path:
                    row.key = f"{path.relative_to(self.path).as_posix()}:{row.number}"
                yield row

    def version(self) -> str:
        """`sha256:...` of the bytes of the file, or of the names and digests of a folder's files."""
        read = self.files()
        try:
            if read == [self.path]:
                return f"sha256:{files.sha256(self.path)}"
            listed = [f"{files.sha256(path)}  {path.relative_to(self.path).as_posix()}\n" for path in read]
        except OSError as error:
            raise MedslmError(f"cannot read {self.path}: {error.strerror or error}; check your rights") from error
        return f"sha256:{hashlib.sha256(''.join(listed).encode()).hexdigest()}"


_KINDS = f"it may hold {reading.KINDS}"


def _missing(path: Path) -> str:
    """What is said of a path that is not there: the nearest name beside it."""
    folder = path.parent
    if not folder.is_dir():
        return f"there is no file {path}, nor the folder {folder}; give a path from {Path.cwd()} or a whole one"
    there = sorted(other.name for other in folder.iterdir() if not other.name.startswith("."))
    some = ", ".join(there[:10]) + (f" and {len(there) - 10} more" if len(there) > 10 else "")
    return f"there is no file {path}{nearest(path.name, there)} in {folder}: {some or 'nothing'}"
