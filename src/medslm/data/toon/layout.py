"""Reads the older layout of headings, which is also called `.toon`: one record after the other, nothing lost.

    ### Instruction:
    <text>

    ### Response:
    <text>

    ### End

(blank line). The layout escapes nothing, so a text that holds a line of the frame can be read in two ways. The rules:
1. only whole lines count: `### Endocrine` is text;
2. a record ends at a line `### End` that is followed, after blank lines, by `### Instruction:` or by the end of the file;
   any other such line is text;
3. the first line `### Response:` after the instruction begins the response, a later one is text in it, and so is a
   `### Instruction:` within a record;
4. a line `### Input:` before the response begins the input (Alpaca's layout has one, the older writer had none);
5. of the frame, one blank line behind each text is taken off; white space that is the text's own stays.
A record in which a rule had to decide is told as ambiguous.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from medslm.data.toon import table
from medslm.errors import MedslmError

INSTRUCTION, INPUT, RESPONSE, END = "### Instruction:", "### Input:", "### Response:", "### End"

Row = dict[str, str]
"""`instruction`, `input`, `output`, and `ambiguous`: why the record can be read in two ways, or empty."""


@dataclass
class _Record:
    """A record while it is read."""

    begins: int
    """Line of its `### Instruction:`."""

    texts: dict[str, list[str]] = field(default_factory=lambda: {INSTRUCTION: []})
    """Lines under each heading; the last heading is the one being read."""

    doubts: list[str] = field(default_factory=list)

    def take(self, lines: list[str]) -> None:
        """Take in some lines of the file."""
        for line in lines:
            if line in (RESPONSE, INPUT) and line not in self.texts and RESPONSE not in self.texts:
                self.texts[line] = []
                continue
            if line in (INSTRUCTION, INPUT, RESPONSE, END):
                self.doubts.append(f"a line '{line}' within a text")
            next(reversed(self.texts.values())).append(line)

    def row(self, path: Path) -> Row:
        """The finished record. Raises `MedslmError` if it has no response."""
        if RESPONSE not in self.texts:
            raise MedslmError(
                f"{path}, line {self.begins}: the record that begins here has no line '{RESPONSE}'; mend the record or "
                "leave it out of the file"
            )
        names = {"instruction": INSTRUCTION, "input": INPUT, "output": RESPONSE}
        told = {name: _framed(self.texts.get(heading, [])) for name, heading in names.items()}
        return told | {"ambiguous": "; ".join(dict.fromkeys(self.doubts))}


def _framed(text: list[str]) -> str:
    """The text without the one blank line that the frame puts behind it."""
    return "\n".join(text[:-1] if text and not text[-1] else text)


def rows(path: Path, ambiguous: dict[str, int] | None = None) -> Iterator[Row]:
    """Every record of a file in the older layout; ambiguous ones are counted by reason in `ambiguous`, and yielded.

    Raises `MedslmError`, with file and line and never with content, for a record that is cut or has no response, for
    text between records, for a file in TOON itself, and for what is not UTF-8.
    """
    ambiguous = {} if ambiguous is None else ambiguous
    for record in _records(path):
        row = record.row(path)
        for doubt in dict.fromkeys(record.doubts):
            ambiguous[doubt] = ambiguous.get(doubt, 0) + 1
        yield row


def _records(path: Path) -> Iterator[_Record]:
    record: _Record | None = None
    held: list[str] = []  # `### End` and the blank lines behind it, until it is known whether they end the record
    for number, line in table.lines(path):
        if record is None:
            if line.strip() and line != INSTRUCTION:
                raise _stray(path, number, line)
            record = _Record(number) if line.strip() else None
        elif held and line == INSTRUCTION:
            yield record
            record, held = _Record(number), []
        elif held and not line.strip():
            held.append(line)
        else:
            ends = line == END
            record.take(held if ends else [*held, line])
            held = [line] if ends else []
    if record and not held:
        raise MedslmError(
            f"{path}, line {record.begins}: the record that begins here has no line '{END}'; the file was cut, so fetch it "
            "again"
        )
    if not record:
        raise MedslmError(f"{path} holds no line '{INSTRUCTION}', so there are no records; fetch it again")
    yield record


def _stray(path: Path, number: int, line: str) -> MedslmError:
    """The error for text before the first record."""
    if table.is_header(line):
        return MedslmError(
            f"{path}, line {number}: this is a table in TOON, not the older layout of headings; read it with "
            "medslm.data.toon.store"
        )
    return MedslmError(
        f"{path}, line {number}: text before the first line '{INSTRUCTION}'; this is not the older layout of headings"
    )
