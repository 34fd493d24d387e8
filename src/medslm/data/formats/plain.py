"""Plain lines: `name: value`; a list or a mapping stands under its name, one line `- ...` an element.

    labs:
    - name: Sodium; value: 140
    - name: Glucose; value: 99

A value's own line breaks become spaces, since the line is the frame; so plain lines lose white space, and a text
with `; name: ` inside reads back as two columns. TOON and JSON lose nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from medslm.data.example import Structure
from medslm.data.formats.notation import Answer, Cost, Notation, answer, name_of

EMPTY = "none"
COLUMN = re.compile(r";[ \t]*(?=[^\s:;][^:;]*:[ \t])")
ROW = re.compile(r"[ \t]*-[ \t]+(\S.*)")


def ask(fields: tuple[str, ...]) -> str:
    """Ask for one line a field, and for one line an element of a list."""
    lines = [field for field in fields if name_of(field) == field]
    rows = [name_of(field) for field in fields if name_of(field) != field]
    under = f"under {', '.join(rows)} one line each, as - name: value; name: value"
    if not rows:
        return f"Answer with one line each for {', '.join(lines)}, as name: value."
    return (
        f"Answer with one line each for {', '.join(lines)}, as name: value; {under}." if lines else f"Answer {under}."
    )


def write(fields: Structure) -> str:
    """One line a field, or a heading and one line an element."""
    return "\n".join(part(name, value, len) for name, value in fields.items())


def part(name: str, value: Any, cost: Cost) -> str:
    """One field; there is only one way to write it, so that its cost does not matter."""
    if isinstance(value, str):
        return f"{name}: {inline(value)}"
    if not value:
        return f"{name}: {EMPTY}"
    if isinstance(value, Mapping):
        rows = [f"{column}: {inline(cell)}" for column, cell in value.items()]
    else:
        rows = [inline(row) for row in value]
    return "\n".join([f"{name}:", *(f"- {row}" for row in rows)])


def inline(value: Any) -> str:
    """Any value on one line."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {inline(part)}" for name, part in value.items())
    return ", ".join(map(inline, value)) or EMPTY


def read(reply: str, fields: tuple[str, ...]) -> Answer:
    """The first line of each field, or the lines under its heading, wherever they stand in the reply."""
    found = {name_of(field): value for field in fields if (value := _value(reply, field)) is not None}
    return answer(found, fields)


def _value(reply: str, field: str) -> Any:
    """What the reply says of one field: text, list or mapping; none if it says nothing."""
    name = re.escape(name_of(field))
    if name_of(field) == field:
        line = re.search(rf"^[ \t]*{name}[ \t]*:[ \t]*(\S.*)$", reply, re.MULTILINE | re.IGNORECASE)
        return line[1].rstrip() if line else None
    heading = re.search(rf"^[ \t]*{name}[ \t]*:[ \t]*({EMPTY})?[ \t\r]*$", reply, re.MULTILINE | re.IGNORECASE)
    if not heading:
        return None
    rows = list(_rows(reply[heading.end() :]))
    if not rows and not heading[1]:
        return None
    parsed = [_columns(row) for row in rows]
    if field.endswith("{}"):
        return {key: value for row in parsed for key, value in (row or {}).items()}
    return parsed if all(parsed) else rows


def _rows(text: str) -> Iterator[str]:
    for line in text.lstrip("\r\n").split("\n"):
        row = ROW.fullmatch(line)
        if not row:
            return
        yield row[1].rstrip()


def _columns(row: str) -> dict[str, str] | None:
    """`code: I10; title: Gout` by name; none if a piece of it has no name."""
    pieces = [piece.partition(":") for piece in COLUMN.split(row)]
    if not all(colon and name for name, colon, _ in pieces):
        return None
    return {name.strip(): value.strip() for name, _, value in pieces}


PLAIN = Notation(ask, write, read, part)
