"""What row functions share: reading a cell that must be filled, and naming rows that have no name of their own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from medslm.data.corpus import Row, Skip
from medslm.data.example import Example
from medslm.errors import MedslmError


def text_of(cell: Any) -> str:
    """The cell as it is, or nothing for one that is missing (None, NaN) or only white space.

    Raises `MedslmError` for a list or a mapping: Python's way of writing one is no text that anybody should learn.
    """
    if isinstance(cell, (list, tuple, dict)):
        raise MedslmError(
            f"a text was expected, and there is a {type(cell).__name__}: {str(cell)[:60]}; the data has changed its shape: "
            "pin an older revision or mend the corpus record"
        )
    if cell is None or cell != cell:  # NaN: what CSV and Parquet hold for a missing text in a column of mixed type
        return ""
    text = str(cell)
    return text if text.strip() else ""


def filled(cell: Any, what: str) -> str:
    """The cell as it is. Raises `Skip` if it is empty; `what` is the word for it in the count."""
    text = text_of(cell)
    if not text:
        raise Skip(f"the {what} is empty")
    return text


def listed(cell: Any, what: str) -> list[Any]:
    """The cell's members; none of one that is missing.

    Raises `MedslmError` for what is no list: a text would be taken letter by letter. `what` is the word for the members.
    """
    if cell is None or cell != cell:
        return []
    if not isinstance(cell, (list, tuple)):
        raise MedslmError(
            f"a list of {what} was expected, and there is a {type(cell).__name__}: {str(cell)[:60]}; a table in CSV holds "
            "no lists: give the data as JSON lines or Parquet"
        )
    return list(cell)


def mapped(cell: Any, what: str) -> Mapping[str, Any]:
    """The cell as a mapping, empty for one that is missing. Raises `MedslmError` for what is none."""
    if cell is None or cell != cell:
        return {}
    if not isinstance(cell, Mapping):
        raise MedslmError(
            f"a mapping of {what} was expected, and there is a {type(cell).__name__}: {str(cell)[:60]}; a table in CSV "
            "holds none: give the data as JSON lines or Parquet"
        )
    return cell


def fingerprint(*texts: str) -> str:
    """16 hexadecimal digits that depend on the texts alone: the id of a row whose source gives none."""
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def family_of(text: str) -> str:
    """The same name for a question or document in every corpus that holds it, whatever its case and line breaks."""
    return fingerprint(" ".join(text.casefold().split()))


def pair(row: Row, *, instruction: str, question: str, answer: str) -> Iterator[Example]:
    """Two columns: what is given, and what should be answered. One family a question."""
    asked, told = filled(row[question], "question"), filled(row[answer], "answer")
    yield Example(fingerprint(asked, told), instruction, asked, told, family_of(asked))


def instructed(row: Row) -> Iterator[Example]:
    """`instruction`, `input`, `output`, where few instructions serve many inputs: the input is the question."""
    instruction, asked = filled(row["instruction"], "instruction"), filled(row["input"], "question")
    told = filled(row["output"], "answer")
    yield Example(fingerprint(instruction, asked, told), instruction, asked, told, family_of(asked))


INSTRUCTED = ("instruction", "input", "output")
