"""An example as one row of a table, without loss: text, nested groups where all rows are alike, JSON where they are not.

Every field of `Example` is one column. A structured `input` or `output` whose names and their order are the same in all
rows of a shard becomes a nested group of TOON (`output{chapter,code}`), and so do `options` of one number
(`options{A,B,C,D}`). Where rows differ, or hold lists, every cell of the column is JSON and its name says so
(`input_json`). Columns that are empty in the whole shard are left out; `id` never is.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from medslm.data.example import Example

FIELDS = tuple(field.name for field in fields(Example))
JSON = "_json"
"""Ends the name of a column whose cells are JSON."""

EMPTY: Mapping[str, Any] = {name: [] if name in ("options", "turns") else "" for name in FIELDS}

Shape = str | tuple[Any, ...]
"""`TEXT`, `MIXED`, or the names of a group with the shape of each."""

TEXT, MIXED = "text", "mixed"
DEEPEST = 64
"""Levels of nesting in an input or output; Python's own recursion would end at about 300."""

DEEPEST_GROUP = 8  # levels; what is nested deeper is written as JSON, which needs no field list


class Misfit(ValueError):
    """Why a value cannot be an example, or an example cannot be a row; names fields and never shows their content."""


def spooled(example: Example) -> dict[str, Any]:
    """The fields of an example as JSON values. Raises `Misfit` for a part that is not text, such as NaN."""
    told: dict[str, Any] = {name: getattr(example, name) for name in FIELDS}
    told |= {"options": list(example.options), "turns": [list(turn) for turn in example.turns]}
    if wrong := [name for name, value in told.items() if not _fits(name, value)]:
        raise Misfit(f"its {', '.join(wrong)} holds something else than text; write every value as text")
    return told


def _fits(name: str, value: Any) -> bool:
    """True if a field of an example may hold this JSON value."""
    if isinstance(value, str):
        return name not in ("options", "turns")
    if name in ("input", "output"):
        return isinstance(value, Mapping) and _is_text(value)
    if name == "options":
        return isinstance(value, list) and all(isinstance(option, str) for option in value)
    if name == "turns":
        pairs = isinstance(value, list) and all(isinstance(turn, list) and len(turn) == 2 for turn in value)
        return pairs and _is_text(value)
    return False


def _is_text(value: Any, depth: int = 0) -> bool:
    """True for text, and for lists and mappings of such, under names. Raises `Misfit` for endless nesting."""
    if isinstance(value, str):
        return True
    if depth == DEEPEST:
        raise Misfit(f"it is nested more than {DEEPEST} levels deep; flatten it")
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _is_text(part, depth + 1) for name, part in value.items())
    return isinstance(value, list | tuple) and all(_is_text(part, depth + 1) for part in value)


def shape(value: Any, depth: int = 0) -> Shape:
    """What all rows must share for a column to be text or a group."""
    if isinstance(value, str):
        return TEXT
    if not isinstance(value, Mapping) or not value or depth == DEEPEST_GROUP:
        return MIXED
    parts = tuple((name, shape(part, depth + 1)) for name, part in value.items())
    return MIXED if any(of_part == MIXED for _, of_part in parts) else parts


class Columns:
    """Learns from all rows of a shard how to write each field, then writes the rows."""

    def __init__(self) -> None:
        self._shapes: dict[str, Shape] = {}
        self._filled = {"id"}

    def learn(self, told: Mapping[str, Any]) -> None:
        """Look at one row, as `spooled` gives it."""
        for name, value in told.items():
            seen = shape(_lettered(value) if name == "options" else value)
            self._shapes[name] = seen if self._shapes.get(name, seen) == seen else MIXED
            if value != EMPTY[name]:
                self._filled.add(name)

    def row(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """One row of the table."""
        return dict(self._cell(name, told[name]) for name in FIELDS if name in self._filled)

    def _cell(self, name: str, value: Any) -> tuple[str, Any]:
        if self._shapes[name] == MIXED:
            return name + JSON, json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return name, _lettered(value) if name == "options" else value


def _lettered(options: list[str]) -> dict[str, str] | list[str]:
    """Options under their letters, as far as there are letters."""
    return dict(zip(string.ascii_uppercase, options)) if len(options) <= len(string.ascii_uppercase) else options


def example(row: Mapping[str, Any]) -> Example:
    """The example of a row. Raises `Misfit` for columns or cells that no example has."""
    if strange := [name for name in row if name.removesuffix(JSON) not in FIELDS]:
        raise Misfit(f"it has the columns {', '.join(strange)}, and an example has {', '.join(FIELDS)}")
    if "id" not in row:
        raise Misfit("it has no column id, and every example has one")
    told: dict[str, Any] = {name: _value(name, row) for name in FIELDS}
    if wrong := [name for name, value in told.items() if not _fits(name, value)]:
        raise Misfit(f"its {', '.join(wrong)} does not hold what an example has there")
    return Example(**{**told, "options": tuple(told["options"]), "turns": tuple(map(tuple, told["turns"]))})


def _value(name: str, row: Mapping[str, Any]) -> Any:
    """The value of one field: as it stands, read from JSON, or empty."""
    if name + JSON in row:
        try:
            return json.loads(row[name + JSON])
        except (ValueError, TypeError, RecursionError):
            raise Misfit(f"its {name + JSON} is not JSON") from None
    value = row.get(name, EMPTY[name])
    return list(value.values()) if name == "options" and isinstance(value, Mapping) else value
