"""Token-Oriented Object Notation (spec 4.4, https://github.com/toon-format/spec), by the official `toon-format`.

TOON writes how long a list is before its elements, `diagnoses[2]{code,title}:`, so a model must count before it writes.
`TOON_COUNTLESS` leaves the number out and keeps the brackets, `diagnoses[]{code,title}:`; its reader counts instead. A
number behind the list would have to be counted as well, and would be no nearer to TOON.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import toon_format

from medslm.data.example import Structure
from medslm.data.formats import compact_json, plain
from medslm.data.formats.notation import ENDS, Answer, Cost, Notation, answer, fits, name_of
from medslm.data.formats.refusal import Unwritable

QUOTED = r'"(?:[^"\\]|\\.)*"'
HEADER = re.compile(rf'([ ]*(?:- )*)({QUOTED}|[^"\[\]{{}}:]*)\[(\d*)(:?)\]((?:\{{.*\}})?:)(.*)')
"""Indent and hyphens, key, length, mark of a keyed table, columns, elements on the same line."""


def ask(fields: tuple[str, ...]) -> str:
    """Ask for a TOON object with these fields."""
    return f"Answer in TOON: {', '.join(fields)}."


def write(fields: Structure) -> str:
    """The fields as a TOON object; values that look like numbers are quoted, so codes stay text.

    Raises `Unwritable` for half a character, which no TOON can hold.
    """
    try:
        text: str = toon_format.encode(dict(fields))
    except ValueError as error:
        raise Unwritable("half a character", f"TOON cannot hold the text: {error}") from error
    return text


def write_countless(fields: Structure) -> str:
    """The same without the lengths of lists."""
    lines = write(fields).split("\n")
    return "\n".join(HEADER.sub(r"\1\2[\4]\5\6", line) if HEADER.fullmatch(line) else line for line in lines)


def part(name: str, value: Any, cost: Cost) -> str:
    """The value as TOON under its name, or as compact JSON behind it where that costs less; TOON if they cost the same.

    JSON begins with `[` or `{` on the line of the name, and TOON never does (but for an empty list, which is `[]` in
    both), so a reader can tell them apart.
    """
    toon, compact = write({name: value}), compact_json.part(name, value, cost)
    return compact if cost(compact) < cost(toon) else toon


def recounted(text: str, only_missing: bool) -> str:
    """Every length in a header set to the elements that follow; with `only_missing`, where there is none."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        header = HEADER.fullmatch(line)
        if header and not (only_missing and header[3]):
            indent, key, _, keyed, columns, rest = header.groups()
            count = _cells(rest) if rest.strip() else _below(lines[number + 1 :], len(indent))
            lines[number] = f"{indent}{key}[{count}{keyed}]{columns}{rest}"
    return "\n".join(lines)


def _cells(line: str) -> int:
    return re.sub(QUOTED, "", line).count(",") + 1


def _below(lines: list[str], indent: int) -> int:
    """Lines one level deeper than a header whose key stands in column `indent`, up to the first that is not deeper."""
    depths: list[int] = []
    for line in lines:
        depth = len(line) - len(line.lstrip(" "))
        if depth <= indent:
            break
        depths.append(depth)
    return sum(depth == depths[0] for depth in depths)


def read(reply: str, fields: tuple[str, ...], counted: bool = True) -> Answer:
    """Strictly decoded; else with its lengths mended, else line by line and row by row, both flagged as repaired."""
    text = reply.strip(ENDS)
    strict = _decoded(text if counted else recounted(text, only_missing=True), fields)
    if strict is not None:
        told = counted and any(name_of(field) + "[]" == field for field in fields)
        return answer(strict, fields, count_ok=True if told else None)
    if counted or re.search(r"\[\d", text):
        mended = _decoded(recounted(text, only_missing=False), fields)
        if mended is not None:
            return answer(mended, fields, repaired=True, count_ok=False)
    return _lenient(text, fields)


def _decoded(text: str, fields: tuple[str, ...]) -> dict[str, Any] | None:
    """The TOON object, if the text is one and has every field."""
    try:
        # codes such as 1E50 or 250.00 written without quotes are still codes
        value = toon_format.decode(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(value, dict) and all(fits(value.get(name_of(field)), field) for field in fields)
    return value if whole else None


def _lenient(text: str, fields: tuple[str, ...]) -> Answer:
    lines = plain.read(text, fields).fields
    found = {name: line.strip('"') if isinstance(line, str) else line for name, line in lines.items()}
    right: list[bool] = []
    for name in (name_of(field) for field in fields if field.endswith("[]")):
        head = rf"^[ \t]*{re.escape(name)}[ \t]*\[(\d*)\](?:\{{(.*)\}})?[ \t]*:[ \t]*(.*)$"
        if header := re.search(head, text, re.MULTILINE | re.IGNORECASE):
            count, columns, rest = header.groups()
            rows = list(_rows(text[header.end() + 1 :], columns, fields)) if not rest.strip() else _split(rest)
            right += [int(count[:9]) == len(rows)] if count else []
            found[name] = rows
    return answer(found, fields, repaired=True, count_ok=all(right) if right else None)


def _rows(below: str, columns: str | None, fields: tuple[str, ...]) -> Iterator[Any]:
    """The lines under a header up to a blank one or another field: mappings if it has columns, else texts.

    A row with too many cells has a comma without quotes in its last; in one with too few the last are empty. A line of
    one cell in a table of several columns is no row.
    """
    names = [cell for cell in _split(columns or "") if cell]
    heads = "|".join(re.escape(name_of(field)) for field in fields)
    for line in below.split("\n"):
        if not line.strip() or re.match(rf"[ \t]*(?:{heads})[ \t]*[\[:{{]", line, re.IGNORECASE):
            return
        if not names:
            yield _unquoted(re.sub(r"^[ \t]*(-[ \t]+)?", "", line))
        elif len(cells := _split(line, len(names))) > 1 or len(names) == 1:
            yield dict(zip(names, cells + [""] * len(names)))


def _split(line: str, most: int = 0) -> list[str]:
    """Cells at commas outside quotes; from the `most`th on they are one."""
    ends = [comma.start() for comma in re.finditer(rf"{QUOTED}|,", line) if comma[0] == ","]
    ends = [-1, *(ends[: most - 1] if most else ends), len(line)]
    return [_unquoted(line[start + 1 : end]) for start, end in itertools.pairwise(ends)]


def _unquoted(cell: str) -> str:
    text = cell.strip(ENDS)
    try:
        return str(toon_format.decode(text)) if re.fullmatch(QUOTED, text) else text.strip('"')
    except ValueError:
        return text.strip('"')


TOON = Notation(ask, write, read, part)
TOON_COUNTLESS = Notation(ask, write_countless, partial(read, counted=False), part)
