"""Real text as tokens for `training.py --documents`: the rows of corpora, through every gate, in a base's tokens.

    python benchmarks/documents.py medqa pubmedqa local:medquad.jsonl --base llama-3.2-3b-instruct --out real.npz
    python benchmarks/documents.py local:notes.csv --columns input=note output=summary --tokenizer FOLDER --out notes.npz
    python benchmarks/training.py --shape llama-3.2-3b --documents real.npz --mode completion

The file holds `tokens` (T,) of all documents, their `lengths` (D,) and `completion` (T,), 1 where a token carries loss.
Nothing but token ids is kept; they can be read back, so that the file is as private as its rows.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medslm import environment

environment.prepare()
environment.quiet()

import numpy  # noqa: E402

from medslm import files  # noqa: E402
from medslm.data import rows, screening  # noqa: E402
from medslm.errors import as_exit_code  # noqa: E402
from medslm.models import load  # noqa: E402
from medslm.models.base import resolve  # noqa: E402
from medslm.models.passes import IGNORED  # noqa: E402
from medslm.recipe import Lesson  # noqa: E402
from medslm.train.launch import pairs  # noqa: E402


def tokenizer(asked: argparse.Namespace) -> Any:
    """The base's, or that of a folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(asked.tokenizer) if asked.tokenizer else load.tokenizer(resolve(asked.base))


def write(built: rows.Rows, out: Path) -> int:
    """Write the training rows; gives their number."""
    ids, labels = ([numpy.asarray(row) for row in built.train[name]] for name in ("input_ids", "labels"))
    learnt = (numpy.concatenate(labels) != IGNORED).astype("i1")
    with files.beside(out) as temporary, temporary.open("wb") as file:
        numpy.savez_compressed(
            file, tokens=numpy.concatenate(ids).astype("i4"), lengths=[*map(len, ids)], completion=learnt
        )
    return len(ids)


def main() -> None:
    """Prepare, say what was left out, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", help="registered ones, local:PATH, or org/name on the Hub")
    parser.add_argument("--columns", nargs="*", default=[], metavar="FIELD=COLUMN")
    parser.add_argument("--format", default="chat")
    parser.add_argument("--max-length", type=int, default=2048)
    parser.add_argument("--base", default="llama-3.2-3b-instruct", help="whose tokens")
    parser.add_argument("--tokenizer", type=Path, help="a folder, instead of a base")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    if asked.out.suffix != ".npz":
        parser.error(f"--out {asked.out}: a name that ends in .npz")
    try:
        columns = pairs(asked.columns)
    except ValueError as error:
        parser.error(f"--columns are {error}")
    with as_exit_code():
        lesson = Lesson(
            mixture=dict.fromkeys(asked.corpora, 1.0),
            format=asked.format,
            columns=columns,
            max_length=asked.max_length,
            validation_fraction=0.01,
        )
        built = rows.build(lesson, tokenizer(asked), None)
        print("\n".join(screening.lines(built.corpora, built.gates)))
        number = write(built, asked.out)
        print(f"{number:,} documents in {asked.out}, {len(built.validation):,} held out")
        print(f"Next: python benchmarks/training.py --documents {asked.out}")


if __name__ == "__main__":
    main()
