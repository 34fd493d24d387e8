"""What the readers of files share: rows that know where they stand, and sentences for files that cannot be read.

No sentence here repeats what a row holds, since that may be about a patient: files, lines, columns, types and sizes only.
"""

from __future__ import annotations

import contextlib
import gzip
import logging
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, cast

from medslm.errors import MedslmError

log = logging.getLogger(__name__)

BOM = b"\xef\xbb\xbf"
OTHER_BOMS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
SHOWN = 40  # columns in a sentence


class Located(dict[str, Any]):
    """A row, equal to the dictionary of its cells, that knows where it stands. Pickling keeps all of it."""

    def __init__(self, cells: dict[str, Any], file: str, unit: str, number: int) -> None:
        super().__init__(cells)
        self.file = file
        self.unit = unit
        """What `number` counts: `line` or `row`."""
        self.number = number
        """From 1, as editors count; unique within the file."""
        self.key = str(number)
        """Unique within the corpus."""
        self.header: tuple[str, ...] = ()
        """Columns of the corpus's first row, whose shape all rows share; empty while nobody has looked."""

    @property
    def place(self) -> str:
        """`notes.csv, line 12`."""
        return f"{self.file}, {self.unit} {self.number}"


@cache
def say(sentence: str) -> None:
    """Show the user a sentence, once a process: a corpus is read more than once."""
    log.warning("%s", sentence)


def named(columns: Sequence[str]) -> str:
    """Names of columns for a sentence, shortened where they are many or long."""
    shown = [name if len(name) <= 64 else f"{name[:64]}..." for name in columns[:SHOWN]]
    more = f" and {len(columns) - SHOWN} more" if len(columns) > SHOWN else ""
    return ", ".join(name or "(no name)" for name in shown) + more if shown else "none"


def is_packed(path: Path) -> bool:
    """Whether the file's name says gzip."""
    return path.suffix.lower() == ".gz"


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked. Raises `MedslmError` for rights, a broken archive and a failing disk."""
    try:
        with gzip.open(path, "rb") if is_packed(path) else path.open("rb") as stream:
            yield cast("IO[bytes]", stream)
    except EOFError as error:
        raise MedslmError(f"{path} is cut off in the middle of its gzip stream; copy or download it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise MedslmError(
            f"{path} is not valid gzip ({error}); copy it again, or take off .gz if it is plain"
        ) from error
    except OSError as error:
        raise MedslmError(f"cannot read {path}: {error.strerror or error}; check the path and your rights") from error


def check_start(path: Path) -> bool:
    """Whether a UTF-8 byte order mark opens the file, which is said. Raises `MedslmError` for UTF-16, UTF-32, no byte."""
    with opened(path) as stream:
        start = stream.read(4)
    if not start.removeprefix(BOM):
        raise MedslmError(f"{path} is empty; give a file with rows")
    for mark, encoding in OTHER_BOMS.items():
        if start.startswith(mark):
            raise MedslmError(f"{path} is written in {encoding}; {_convert(path, encoding)}")
    if start.startswith(BOM):
        say(f"{path} begins with a byte order mark (BOM), which is left out")
        return True
    return False


def not_utf8(path: Path) -> MedslmError:
    """The sentence for a file that failed to decode: the first byte that is not UTF-8, and its line."""
    offset = 0
    with opened(path) as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return bad_byte(path, number, offset + error.start)
            offset += len(line)
    return MedslmError(f"{path} is not UTF-8; {_convert(path, 'WINDOWS-1252')}")


def bad_byte(path: Path, line: int, offset: int) -> MedslmError:
    """The sentence for a byte that is not UTF-8; `offset` counts from 0 in the unpacked file."""
    return MedslmError(f"{path}, line {line}: byte {offset} is not UTF-8; {_convert(path, 'WINDOWS-1252')}")


def _convert(path: Path, encoding: str) -> str:
    return f"convert it, such as with `iconv -f {encoding} -t UTF-8 {path.name} > utf8-{path.name}`"
