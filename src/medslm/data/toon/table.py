"""Reads a `.toon` file that is one root table, of any size, a block of rows at a time.

A TOON document can only be decoded whole, but a table of k rows under the same field list is a document as well, so
each block of rows is decoded under a header of its own. Lines end at `\\n` alone: U+2028 and U+0085 may stand in a cell.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from medslm.data.toon import codec
from medslm.data.toon.codec import ToonError
from medslm.errors import MedslmError

log = logging.getLogger(__name__)

Row = dict[str, Any]
Numbered = tuple[int, Row]
"""Line in the file, counted from 1, and the row that stands there."""

BLOCK_ROWS = 256
BLOCK_CHARACTERS = 1 << 20  # of one block, unless a single row has more

_HEADER = re.compile(r"\[(?P<rows>0|[1-9][0-9]*)(?P<delimiter>[\t|]?)\](?P<fields>\{.*\}): *")
OLDER_LAYOUT = re.compile(r"### (?:Instruction:|Response:|End)\s*")
"""A line that opens a part of the older layout (`layout.py`); TOON takes it for a comment."""


@dataclass(frozen=True)
class Header:
    """The first line of a table."""

    rows: int
    """How many it promises."""

    delimiter: str
    """Tab or `|` if declared; empty for the comma."""

    fields: str
    """The field list, with its braces."""

    def over(self, rows: list[str]) -> str:
        """A document of its own for some rows."""
        return "\n".join([f"[{len(rows)}{self.delimiter}]{self.fields}:", *rows])


def is_older_layout(path: Path) -> bool:
    """True for a file whose first line of text is `### Instruction:`: `layout.rows` reads it, and no TOON decoder does.

    Raises `MedslmError` as `lines` does.
    """
    first = next((line for _, line in lines(path) if line.strip()), "")
    return bool(OLDER_LAYOUT.fullmatch(first))


def is_header(line: str) -> bool:
    """True for a line that opens a root table."""
    return bool(_HEADER.fullmatch(line))


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends; a BOM is removed and CRLF accepted, and both are said once.

    Raises `MedslmError` for a file that cannot be read, is empty or not UTF-8.
    """
    number = 0
    try:
        with path.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                if number == 1:
                    raw = _start(path, raw)
                yield number, raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise MedslmError(f"{path}, line {number}: not UTF-8 ({error.reason}); save the file as UTF-8") from None
    except OSError as error:
        raise MedslmError(f"cannot read {path}: {error.strerror or error}") from error
    if not number:
        raise MedslmError(f"{path} is empty; write or fetch it again")


def _start(path: Path, raw: bytes) -> bytes:
    """The first line without a BOM."""
    if raw.endswith(b"\r\n"):
        log.warning("%s has lines that end in CRLF; they are read as ends of lines, not as text", path)
    if not raw.startswith(b"\xef\xbb\xbf"):
        return raw
    log.warning("%s begins with a byte order mark; it is left out", path)
    return raw[3:]


def rows(path: Path) -> Iterator[Numbered]:
    """Every row of the table in a file, in memory that does not grow with the file; every scalar is text.

    Raises `MedslmError`, with file and line and never with content, for a file that is not one root table, a row of
    another width, a `null`, a promise `[N]` that is not kept, and all that `codec.decode` refuses.
    """
    content = _without_comments(path)
    header = _header(path, content)
    count = 0
    for block in _blocks(path, content):
        count += len(block)
        if header is None or count > header.rows:
            promised = f"its header promises {header.rows} rows" if header else "it is an empty list"
            raise MedslmError(f"{path}, line {block[0][0]}: {promised} and there are more; {_AGAIN}")
        yield from _decoded(path, header, block)
    if header and count < header.rows:
        raise MedslmError(f"{path}: its header promises {header.rows} rows and there are {count}; {_AGAIN}")


_AGAIN = "the file was cut or changed, so write or fetch it again"


def _without_comments(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that are no TOON comments. Raises `MedslmError` for a file in the older layout."""
    begun = False
    for number, line in lines(path):
        if not line.lstrip(" ").startswith("#"):
            begun = begun or bool(line.strip(" "))
            yield number, line
        elif not begun and OLDER_LAYOUT.fullmatch(line):
            raise MedslmError(
                f"{path}, line {number}: this is the older layout of headings (### Instruction:), which TOON would take "
                "for comments; read it with medslm.data.toon.layout"
            )


def _header(path: Path, content: Iterator[tuple[int, str]]) -> Header | None:
    """The header of the table, or none for an empty list (`[]`)."""
    number, line = next(((number, line) for number, line in content if line.strip(" ")), (0, ""))
    if not number:
        raise MedslmError(f"{path} holds nothing but comments and blank lines, so there is no table; fetch it again")
    if line.rstrip(" ") == "[]":
        return None
    if not (match := _HEADER.fullmatch(line)):
        raise MedslmError(
            f"{path}, line {number}: no header of a table such as [2]{{id,input,output}}: stands here; a file holds one "
            "root table (other forms of TOON are for small documents: medslm.data.toon.codec.decode)"
        )
    header = Header(int(match["rows"]), match["delimiter"], match["fields"])
    try:
        codec.decode(header.over([]))
    except ToonError as error:
        raise MedslmError(
            f"{path}, line {number}: the header of the table is not valid TOON: {error.problem}"
        ) from None
    return header


def _blocks(path: Path, content: Iterator[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """Some numbered lines at a time. Raises `MedslmError` for a blank line between rows."""
    block: list[tuple[int, str]] = []
    characters = blank = 0
    for number, line in content:
        if not line.strip(" "):
            blank = blank or number
            continue
        if blank:
            raise MedslmError(f"{path}, line {blank}: a blank line within the table; {_AGAIN}")
        if block and (len(block) == BLOCK_ROWS or characters + len(line) > BLOCK_CHARACTERS):
            yield block
            block, characters = [], 0
        block.append((number, line))
        characters += len(line)
    if block:
        yield block


def _decoded(path: Path, header: Header, block: list[tuple[int, str]]) -> Iterator[Numbered]:
    try:
        found = codec.decode(header.over([line for _, line in block]))
    except ToonError as error:
        _blame(path, header, block, error)
    for (number, _), row in zip(block, found):
        yield number, _as_text(path, number, row)


def _blame(path: Path, header: Header, block: list[tuple[int, str]], error: ToonError) -> NoReturn:
    """Raise `MedslmError` for the first row of a block that cannot be decoded by itself."""
    for number, line in block:
        try:
            codec.decode(header.over([line]))
        except ToonError as alone:
            counted = alone.problem.startswith("Declared length")  # the decoder saw something else than a row
            problem = (
                "this is no row of the table (indentation of two spaces, then cells)" if counted else alone.problem
            )
            raise MedslmError(f"{path}, line {number}: {problem}; {_AGAIN}") from None
    raise MedslmError(f"{path}, lines {block[0][0]} to {block[-1][0]}: {error.problem}; {_AGAIN}")


def _as_text(path: Path, number: int, row: Mapping[str, Any]) -> Row:
    """The row with unquoted `true` and `false` as the texts they stood as; raises `MedslmError` for a `null`."""
    told: Row = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            told[name] = _as_text(path, number, value)
        elif isinstance(value, str):
            told[name] = value
        elif value is None:
            raise MedslmError(f'{path}, line {number}: {name} is null, and every value is text; write it as ""')
        else:
            told[name] = str(value).lower()
    return told
