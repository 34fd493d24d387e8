"""Multiple choice: the options in whatever columns they stand, and the key as the letter that points to one of them."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from medslm.data.corpus import Skip
from medslm.data.sources.shapes.mapping import Mapped
from medslm.data.sources.shapes.values import Unfit, scalar

LISTS = ("options", "choices")
SERIES = ("op{letter}", "ending{number}", "option_{letter}", "option{letter}", "{letter}")
"""Columns with one option each, in lower case: `opa`, `opb`, ...; `ending0`, `ending1`, ..."""

KEYS = ("answer_idx", "answer_index", "cop", "label", "answerkey", "answer_key", "answer", "correct_answer")
"""Columns that may hold the key, the surer ones first."""
FROM_0 = ("answer_idx", "answer_index", "cop", "label")
"""Columns whose published datasets count from 0 where they hold numbers: MedQA, MedMCQA on the Hub, SWAG and its kin."""

NUMBER = re.compile(r"[0-9]{1,3}(\.0)?")  # tables write 2.0 where another cell of the column is empty

Options = Sequence[tuple[str, str]]
"""Label and text of each."""


def series(there: Mapping[str, str]) -> tuple[str, ...]:
    """The columns with one option each; `there` goes from a column's name in lower case to the name."""
    for pattern in SERIES:
        names = [pattern.format(letter=letter, number=at) for at, letter in enumerate(string.ascii_lowercase)]
        count = next((at for at, name in enumerate(names) if name not in there), len(names))
        if count > 1:
            return tuple(there[name] for name in names[:count])
    return ()


def counted(options: tuple[str, ...], key: str) -> str:
    """How numbers in the column `key` count, if its name decides it: `from0` or nothing. MMLU's `answer` does."""
    published = key.lower() in FROM_0 or (options[0].lower(), key.lower()) == ("choices", "answer")
    return "from0" if published else ""


def options_of(cells: Mapping[str, Any]) -> Options:
    """Label and text of each option, from one column with all of them or from one column each.

    Raises `Unfit` for what is no list, and `Skip` for an option without text.
    """
    if len(cells) == 1:
        column, value = next(iter(cells.items()))
        labelled = _listed(value, column)
    else:
        labelled = [
            (string.ascii_uppercase[at], scalar(value, column)) for at, (column, value) in enumerate(cells.items())
        ]
        while labelled and not labelled[-1][1].strip():
            labelled.pop()  # tables give questions with fewer options empty cells at the end
    if any(not text.strip() for _, text in labelled):
        raise Skip("an option is empty")
    if len(labelled) < 2:
        raise Skip("there are fewer than two options")
    if len(labelled) > len(string.ascii_uppercase):
        raise Unfit(f"there are {len(labelled)} options, more than letters; take multiple choice out of these rows")
    return labelled


def _listed(value: Any, column: str) -> list[tuple[str, str]]:
    if isinstance(value, str):  # a table's cell
        try:
            value = json.loads(value)
        except ValueError:
            raise Unfit(
                f'column {column} holds text that is no JSON list; write ["...", "..."], or one column for each option'
            ) from None
    if isinstance(value, Mapping) and set(value) == {"text", "label"}:  # ARC
        value = dict(zip(value["label"], value["text"]))
    if isinstance(value, Mapping):
        return [(scalar(label, column), scalar(text, column)) for label, text in value.items() if text is not None]
    if not isinstance(value, (list, tuple)):
        raise Unfit(f"column {column} holds a value of type {type(value).__name__} and not a list of options")
    if value and all(isinstance(each, Mapping) and {"key", "value"} <= set(each) for each in value):  # BigBio
        return [(scalar(each["key"], column), scalar(each["value"], column)) for each in value]
    return [(string.ascii_uppercase[at % 26], scalar(text, column)) for at, text in enumerate(value)]


def letter(value: Any, options: Options, mapped: Mapped) -> str:
    """The letter of the right option. `mapped` is the key's column, and how it is written if that is known.

    Raises `Skip` for a hidden key or one that is no option, and `Unfit` for one that can be read in two ways.
    """
    column = mapped.columns[0]
    if isinstance(value, (list, tuple, Mapping)):
        raise Unfit(
            f"column {column} holds a value of type {type(value).__name__}; a question with several right "
            "answers is not read"
        )
    told = scalar(value, column).strip()
    if not told or told == "-1":
        raise Skip("the key is hidden")
    found = _readings(told, options, mapped.key)
    if len(set(found.values())) > 1:
        ways = ", ".join(found)
        raise Unfit(
            f"the key in column {column} can be read in {len(found)} ways ({ways}) that point to different options; say "
            f"which: output={column}:letter, :text, :from0 or :from1"
        )
    if not found:
        if NUMBER.fullmatch(told) and mapped.key in ("from0", "from1"):
            raise Unfit(
                f"the key in column {column} is a number outside the {len(options)} options counted {mapped.key}; say how "
                f"it counts: output={column}:from0 or output={column}:from1"
            )
        raise Skip("the key is none of the options")
    return string.ascii_uppercase[next(iter(found.values()))]


def _readings(told: str, options: Options, key: str) -> dict[str, int]:
    """Every way in which a key points to an option: how -> index from 0."""
    found: dict[str, int] = {}
    labels = [label.upper() for label, _ in options]
    same = [at for at, (_, text) in enumerate(options) if text.strip() == told]
    number = int(float(told)) if NUMBER.fullmatch(told) else None
    if key != "text" and told.upper() in labels:
        found["letter"] = labels.index(told.upper())
    if key in ("", "text") and same:
        found["text"] = same[0]
        if len(same) > 1:
            found["text of another option"] = same[1]
    if number is not None and "letter" not in found:
        if key == "" and number <= len(options):  # nobody knows where it begins to count, whatever this row allows
            found |= {"from0": number, "from1": number - 1}
        first = {"from0": 0, "from1": 1}.get(key)
        if first is not None and first <= number < first + len(options):
            found[key] = number - first
    return found
