"""Compact JSON (RFC 8259): no space behind a comma or a colon, letters as they are, every scalar a string."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from medslm.data.example import Structure
from medslm.data.formats.notation import ENDS, Answer, Cost, Notation, answer, name_of

LIKELY = 100
"""Opening braces that the lenient reader tries in a reply: a runaway reply may have thousands."""

DECODER = json.JSONDecoder(parse_int=str, parse_float=str)  # 250.00 without quotes is still a code


def ask(fields: tuple[str, ...]) -> str:
    """Ask for a JSON object with these fields."""
    return f"Answer in JSON: {', '.join(fields)}."


def write(fields: Structure) -> str:
    """The fields as one JSON object."""
    return dumped(fields)


def part(name: str, value: Any, cost: Cost) -> str:
    """The value behind its name, on one line."""
    return f"{name}: {dumped(value)}"


def dumped(value: Any) -> str:
    """Any value as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def read(reply: str, fields: tuple[str, ...]) -> Answer:
    """Strictly decoded; else the first balanced object in the reply, else what is whole of a broken one, flagged."""
    whole = _decoded(reply.strip(ENDS))
    if isinstance(whole, dict) and not (found := answer(whole, fields)).missing:
        return found
    for inner in _objects(reply):
        if (found := answer(inner, fields, repaired=True)).fields:
            return found
    pieces = {name_of(field): _piece(reply, name_of(field), field.endswith("[]")) for field in fields}
    return answer(pieces, fields, repaired=True)


def _decoded(text: str) -> Any:
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError):
        return None


def _value(text: str, start: int) -> tuple[Any, int]:
    """The JSON value at `start` and where it ends; none if there is no whole one."""
    try:
        return DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None, start


def _objects(reply: str) -> Iterator[dict[str, Any]]:
    """Every balanced object that is not inside another, from the left."""
    start = reply.find("{")
    for _ in range(LIKELY):
        if start < 0:
            return
        value, end = _value(reply, start)
        if isinstance(value, dict):
            yield value
        start = reply.find("{", max(end, start + 1))


def _piece(reply: str, name: str, many: bool) -> Any:
    """The value behind one name in a broken object; of a broken list its whole rows."""
    place = re.search(rf'"{re.escape(name)}"\s*:\s*', reply)
    if not place:
        return None
    value, end = _value(reply, place.end())
    if end > place.end() or not many or reply[end : end + 1] != "[":
        return value
    rows: list[Any] = []
    while reply[end : end + 1] in ("[", ","):
        start = _past_space(reply, end + 1)
        value, after = _value(reply, start)
        if after == start:
            break
        rows.append(value)
        end = _past_space(reply, after)
    return rows or None


def _past_space(text: str, start: int) -> int:
    found = re.compile(r"\s*").match(text, start)
    return found.end() if found else start


JSON = Notation(ask, write, read, part, close="}")
