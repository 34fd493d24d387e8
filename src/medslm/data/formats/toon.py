"""Token-Oriented Object Notation (spec 4.4, https://github.com/toon-format/spec), by the official `toon-format`."""

from __future__ import annotations

from collections.abc import Mapping

import toon_format

from medslm.data.formats import chat
from medslm.data.formats.format import ENDS, Answer, Format


def ask(fields: tuple[str, ...]) -> str:
    """Ask for a TOON object with these fields."""
    return f"Answer in TOON: {', '.join(fields)}."


def write(fields: Mapping[str, str]) -> str:
    """The fields as a TOON object; values that look like numbers are quoted, so codes stay text."""
    text: str = toon_format.encode(dict(fields))
    return text


def read(reply: str, fields: tuple[str, ...]) -> Answer:
    """Strictly decoded; if that fails or a field is missing, line by line, flagged as repaired."""
    try:
        # codes such as 1E50 or 250.00 written without quotes are still codes
        value = toon_format.decode(reply.strip(ENDS), parse_int=str, parse_float=str)
    except ValueError:
        value = None
    if isinstance(value, dict) and all(isinstance(value.get(name), str) for name in fields):
        return Answer({name: value[name] for name in fields})
    lines = chat.read(reply, fields).fields
    return Answer({name: line.strip('"') for name, line in lines.items()}, repaired=True)


TOON = Format(ask, write, read)
