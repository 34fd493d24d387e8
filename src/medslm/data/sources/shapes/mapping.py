"""The user's own words on what a column is: `input=note+question`, `instruction==Summarise the note.`"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from medslm.data.sources.readers.located import named
from medslm.data.sources.shapes.values import Unfit
from medslm.errors import MedslmError
from medslm.registry import nearest

FIELDS = ("id", "instruction", "input", "output", "family", "reasoning", "options")
SEVERAL = ("input", "output", "options")
"""Fields that may take several columns: named parts, or one option each."""
NO_CONSTANT = ("id", "options")
KEYS = ("letter", "text", "from0", "from1")
"""How the key of a multiple-choice question is written: `output=answer:from1` counts the options from 1."""

Columns = tuple[tuple[str, str], ...]
"""Field and what it is mapped to, sorted: hashable and picklable."""


@dataclass(frozen=True)
class Mapped:
    """What one field is taken from."""

    columns: tuple[str, ...] = ()
    constant: str | None = None
    key: str = ""
    """One of `KEYS`, or nothing."""


def of_corpus(columns: Mapping[str, str], *names: str) -> Columns:
    """The entries that concern the corpus called any of `names`; one that names it outdoes one for all corpora.

    Raises `MedslmError` for a key whose last part is no field, and for a field that can have no constant.
    """
    chosen: dict[str, str] = {}
    for key, value in sorted(columns.items(), key=lambda entry: ":" in entry[0]):
        prefix, _, field = key.rpartition(":")
        if field not in FIELDS:
            raise MedslmError(
                f"columns has '{key}', and an example has no field '{field}'{nearest(field, list(FIELDS))} "
                f"fields: {', '.join(FIELDS)}"
            )
        if value.startswith("=") and field in NO_CONSTANT:
            raise MedslmError(f"columns gives {key} the constant text after '='; {field} needs a column")
        if not value:
            raise MedslmError(f"columns says nothing for {key}; write a column's name, or =text for a constant")
        if not prefix or prefix in names:
            chosen[field] = value
    return tuple(sorted(chosen.items()))


def check_prefixes(columns: Mapping[str, str], names: Iterable[str]) -> None:
    """Raise `MedslmError` for an entry of a recipe that names a corpus which is none of `names`, its mixture's own data."""
    known = list(names)
    for key in columns:
        prefix = key.rpartition(":")[0]
        if prefix and prefix not in known:
            raise MedslmError(
                f"columns has '{key}', but '{prefix}' is no corpus of one's own in the mixture{nearest(prefix, known)} "
                f"there: {', '.join(known) or 'none'}"
            )


def find(field: str, value: str, there: tuple[str, ...]) -> Mapped:
    """What a mapped field is taken from. Raises `Unfit` if one of its columns is not among `there`."""
    if value.startswith("="):
        return Mapped(constant=value[1:])
    if value in there:
        return Mapped((value,))
    column, colon, key = value.rpartition(":")
    if field == "output" and colon and key in KEYS:
        return Mapped(find(field, column, there).columns, key=key)
    wanted = tuple(value.split("+")) if field in SEVERAL else (value,)
    for name in wanted:
        if name not in there:
            raise Unfit(
                f"{field} is mapped to the column '{name}', which is not there{nearest(name, list(there))} "
                f"columns: {named(there)}"
            )
    return Mapped(wanted)
