"""Values of cells as text: every scalar in one way, so that the same data gives the same text from every kind of file.

Text stays as it is. Null and a missing cell are empty text; true and false are `true` and `false`; a number is written as
its JSON file writes it (`250.00`), or else as Python does; a date as ISO 8601; a decimal with all its digits.
"""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Mapping, Sequence
from typing import Any

from medslm.data.example import Structure, leaves
from medslm.data.sources.readers.jsons import Written

DEEPEST = 64
"""Levels of lists and mappings; Python's own recursion would end at some hundreds."""


class Unfit(Exception):
    """Why a row or a set of columns cannot be used, as a clause to stand behind `notes.csv, line 12:`."""


def scalar(value: Any, column: str) -> str:
    """The text of a single value. Raises `Unfit` for what is none: lists, bytes, NaN, infinity."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Written):
        return value.text
    if isinstance(value, float) and not math.isfinite(value):
        raise Unfit(f"column {column} holds NaN or infinity; leave the cell empty instead")
    if isinstance(value, (int, float, decimal.Decimal)):
        return str(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    raise Unfit(f"column {column} holds a value of type {type(value).__name__} where text is needed; write it as text")


def parts(value: Any, column: str, depth: int = 0) -> Any:
    """A nested value with every scalar as text. Raises `Unfit`, also for what is nested deeper than `DEEPEST`."""
    if depth > DEEPEST:
        raise Unfit(f"column {column} is nested deeper than {DEEPEST} levels; make it flatter")
    if isinstance(value, Mapping):
        return {scalar(name, column): parts(held, column, depth + 1) for name, held in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [parts(held, column, depth + 1) for held in value]
    return scalar(value, column)


def whole(value: Any, column: str) -> str | Structure:
    """Text, or named parts; a list gets its column's name, since parts have names. Raises `Unfit`."""
    told = parts(value, column)
    return {column: told} if isinstance(told, list) else told


def joined(cells: Mapping[str, Any]) -> str | Structure:
    """One column as it is; several as parts under their names, without the empty ones, and text if one part is left.

    Raises `Unfit`.
    """
    if len(cells) == 1:
        return next(whole(value, column) for column, value in cells.items())
    told = {column: parts(value, column) for column, value in cells.items()}
    full = {column: value for column, value in told.items() if not is_empty(value)}
    if len(full) == 1:
        return next(whole(value, column) for column, value in full.items())
    return full or ""


def is_empty(value: Any) -> bool:
    """Whether there is no text in it but white space."""
    return not any(text.strip() for text in leaves(value))
