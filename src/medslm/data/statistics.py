"""What the gates and the tokenizer make of a lesson, as text, as a picture and as JSON."""

from __future__ import annotations

from pathlib import Path

from medslm import files
from medslm.data import packing, screening
from medslm.data.gates import lengths
from medslm.data.rows import Rows


def text(rows: Rows, max_length: int) -> str:
    """The gates' lines, the table of lengths, and how well the examples pack."""
    lines = [*screening.lines(rows.corpora, rows.gates), "", lengths.table(rows.lengths), "", packed(rows, max_length)]
    return "\n".join(lines)


def packed(rows: Rows, budget: int) -> str:
    """How many sequences of `budget` tokens hold the examples, and how full they are."""
    taken = rows.lengths[rows.lengths <= budget]
    packs = packing.pack(taken, budget)
    return (
        f"{len(taken):,} examples of {int(taken.sum()):,} tokens fill {len(packs):,} sequences of {budget:,} tokens to "
        f"{packs.fill:.1%}; one example a sequence would fill {taken.mean() / budget:.1%}"
    )


def write(rows: Rows, max_length: int, folder: Path) -> None:
    """Write `lengths.png` and `report.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    lengths.plot(rows.lengths, max_length, folder / "lengths.png")
    files.write_json(folder / "report.json", {"corpora": rows.corpora, "gates": rows.gates})
