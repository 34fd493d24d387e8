"""Tables of text: CSV and its kin, read by Python's `csv`, with the delimiter that the file really has."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from medslm.data.sources.readers.located import Located, check_start, named, not_utf8, opened, say
from medslm.errors import MedslmError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SAMPLE = 1 << 16  # characters looked at to recognise the delimiter
LARGEST_CELL = 2**31 - 1  # characters; csv's own limit of 131072 is global and shorter than a long note
LONGEST_NAME = 100  # characters of a column's name; longer ones are cells of a table without a header


def commas(path: Path) -> Iterator[Located]:
    """The rows of a `.csv` file. Raises `MedslmError` with file and line."""
    return _rows(path, ",")


def tabs(path: Path) -> Iterator[Located]:
    """The rows of a `.tsv` file. Raises `MedslmError` with file and line."""
    return _rows(path, "\t")


def _rows(path: Path, promised: str) -> Iterator[Located]:
    check_start(path)
    csv.field_size_limit(LARGEST_CELL)
    delimiter = _recognise(path, promised)
    with opened(path) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        header: list[str] = []
        line = rows = 0
        try:
            for cells in reader:
                first, line = line + 1, reader.line_num
                if not cells:
                    continue  # an empty line
                if not header:
                    header = _header(path, first, cells)
                    continue
                if len(cells) != len(header):
                    raise MedslmError(
                        f"{path}, line {first} has {len(cells)} cell(s) where the header has {len(header)}; a "
                        f"{DELIMITERS[delimiter]}, line break or quote inside a cell asks for quotes around the cell"
                    )
                rows += 1
                yield Located(dict(zip(header, cells)), str(path), "line", first)
        except UnicodeDecodeError:
            raise not_utf8(path) from None
        except csv.Error as error:
            raise MedslmError(f"{path}, line {line + 1}: {_reason(str(error))}") from None
    if not rows:
        raise MedslmError(f"{path} has {'a header and ' if header else ''}no rows; give a file with rows")


def _reason(told: str) -> str:
    if "unexpected end" in told:
        return "a quoted cell begins in this row and never ends; close its quote, and double each quote inside a cell"
    if "expected after" in told:
        return "text follows the quote that ends a cell; double each quote inside a quoted cell"
    return f"the table cannot be read ({told}); write it again with a CSV writer"


def _header(path: Path, line: int, cells: list[str]) -> list[str]:
    """The names of the columns. Raises `MedslmError` if two are the same, or if they look like a row."""
    names = [cell.strip() for cell in cells]
    for at, name in enumerate(names, 1):
        if len(name) > LONGEST_NAME or "\n" in name or _is_number(name):
            what = "a number" if _is_number(name) else f"{len(name)} characters long"
            raise MedslmError(
                f"{path}, line {line} does not look like a header: cell {at} of {len(names)} is {what}; write the names "
                "of the columns into the first line"
            )
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise MedslmError(
            f"{path}, line {line} gives more than one column the name {named(twice)}; names are given once"
        )
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _recognise(path: Path, promised: str) -> str:
    """The delimiter that the suffix promises, unless only another one makes a table of the first rows; that is said."""
    with opened(path) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="", errors="replace") as text:
        sample = text.read(SAMPLE)
        cut = len(sample) == SAMPLE
    order = [promised, *(mark for mark in DELIMITERS if mark != promised)]
    widths = {mark: _widths(sample, mark, cut) for mark in order}
    tables = [mark for mark in order if len(set(widths[mark])) == 1 and widths[mark][0] > 1]
    headers = [mark for mark in order if widths[mark] and widths[mark][0] > 1]
    found = next(iter([*tables, *headers]), promised)
    if found != promised:
        say(f"{path} is separated by {DELIMITERS[found]}s, not by {DELIMITERS[promised]}s as its name promises")
    return found


def _widths(sample: str, delimiter: str, cut: bool) -> list[int]:
    """Cells in each whole row of the sample; the last row of a cut sample is whole only if it is the header."""
    try:
        widths = [len(cells) for cells in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter) if cells]
    except csv.Error:
        return []
    return widths[:-1] if cut and len(widths) > 1 else widths
