"""A notation: how named parts are asked for, written and read; plain lines, TOON and JSON are records of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from medslm.data.example import Structure

ENDS = " \t\r\n"  # white space that may be taken off; TOON leaves a value's no-break or line-separating spaces unquoted

Cost = Callable[[str], int]
"""Text -> what it costs a model to read, in tokens of its tokenizer."""


@dataclass(frozen=True)
class Answer:
    """What was read out of a reply."""

    fields: Mapping[str, Any]
    """Field to text, list or mapping; empty if nothing could be read."""

    repaired: bool = False
    """True if the reply was not valid as it stood and a lenient reader was used."""

    missing: tuple[str, ...] = ()
    """Fields that were asked for and could not be read, even leniently."""

    count_ok: bool | None = None
    """Whether the lengths that the reply gives of its lists are right; none where it gives no length."""

    reasoning: str = ""
    """The thoughts before the answer, in a format that writes them."""

    @property
    def parse_strict(self) -> bool:
        """The reply was valid as it stood and holds every field."""
        return not self.repaired and not self.missing

    @property
    def parse_lenient(self) -> bool:
        """Every field could be read, repaired or not."""
        return not self.missing


@dataclass(frozen=True)
class Notation:
    """One way of writing named parts. Fields are named as `fields_of` names them."""

    ask: Callable[[tuple[str, ...]], str]
    """Fields -> the sentence that asks for them."""

    write: Callable[[Structure], str]
    """Named parts -> the text a model should answer."""

    read: Callable[[str, tuple[str, ...]], Answer]
    """Reply and fields -> the answer; never raises."""

    part: Callable[[str, Any, Cost], str]
    """Name, list or mapping, and cost of a text -> the part as the model reads it in an input."""

    close: str = ""
    """What `write` puts behind the last field; taken off where only the beginnings of answers are compared."""


def fields_of(output: str | Structure) -> tuple[str, ...]:
    """The fields of an answer, as asked for: the name, with `[]` behind a list and `{}` behind a mapping.

    The columns of a list's rows are not told: they are read off the answer, and an empty list would give itself away.
    """
    if isinstance(output, str):
        return ()
    return tuple(name + _mark(value) for name, value in output.items())


def _mark(value: Any) -> str:
    return "" if isinstance(value, str) else "{}" if isinstance(value, Mapping) else "[]"


def name_of(field: str) -> str:
    """The field's name: `diagnoses[]` -> `diagnoses`."""
    return re.sub(r"(\[\]|\{\})$", "", field)


def fits(value: Any, field: str) -> bool:
    """True if the value is of the kind that the field asks for, and every scalar in it is text."""
    return value is not None and field == name_of(field) + _mark(value) and _is_text(value)


def _is_text(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_text, value.values()))
    return isinstance(value, str) or (isinstance(value, list) and all(map(_is_text, value)))


def answer(
    found: Mapping[str, Any], fields: Iterable[str], repaired: bool = False, count_ok: bool | None = None
) -> Answer:
    """What of `found` was asked for and is of the right kind."""
    asked = list(fields)
    fitting = {name_of(field): found[name_of(field)] for field in asked if fits(found.get(name_of(field)), field)}
    return Answer(fitting, repaired, tuple(field for field in asked if name_of(field) not in fitting), count_ok)
