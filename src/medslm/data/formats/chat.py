"""The plain format: named fields as lines of `name: value`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from medslm.data.formats.format import Answer, Format


def ask(fields: tuple[str, ...]) -> str:
    """Ask for one line a field."""
    return f"Answer with one line each for {', '.join(fields)}, as name: value."


def write(fields: Mapping[str, str]) -> str:
    """One line a field; a line break inside a value becomes a space, since the line is the frame."""
    return "\n".join(f"{name}: {' '.join(value.split())}" for name, value in fields.items())


def read(reply: str, fields: tuple[str, ...]) -> Answer:
    """The first line of each field, wherever it stands in the reply."""
    found = {}
    for name in fields:
        if line := re.search(rf"^[ \t]*{re.escape(name)}[ \t]*:[ \t]*(\S.*)$", reply, re.MULTILINE | re.IGNORECASE):
            found[name] = line[1].rstrip()
    return Answer(found)


CHAT = Format(ask, write, read)
