"""A lesson as a dataset of its own: screened, split, written as Parquet or TOON with the report of every gate beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import medslm
from medslm import files, recipe
from medslm.data import rows
from medslm.data.example import Example
from medslm.data.toon import columns, store
from medslm.errors import MedslmError

if TYPE_CHECKING:
    import datasets

Storage = Literal["parquet", "toon"]
REPORT = "build.json"
SHARD = 100_000  # rows of a file
GROUP = 1000  # rows written at a time


def build(lesson: recipe.Lesson, folder: Path, storage: Storage = "parquet") -> dict[str, Any]:
    """Make `folder` of the lesson's examples and return its report, which is `build.json` there.

    Raises `MedslmError` for bad input, a folder that is there, a name that the Hub would not take, and a corpus that is to
    be passed over more than once: how often an example is learnt is the recipe's to say.
    """
    name = folder.resolve().name
    if not recipe.NAME.fullmatch(name):
        raise MedslmError(f"a dataset cannot be called '{name}'; use lower case words joined by hyphens")
    if folder.exists():
        raise MedslmError(f"{folder} is there already; remove it, or build into another folder")
    if more := [corpus for corpus, passes in lesson.mixture.items() if passes > 1]:
        raise MedslmError(f"a dataset holds each example once, but {', '.join(more)} is to be passed over more often")
    built = rows.build(lesson, None, None, keep=True)
    terms = built.gates["license"]
    report = {
        "name": name,
        "medslm": medslm.__version__,
        "license": terms["name"] or terms["id"],
        **{key: terms[key] for key in ("flags", "reasons", "publishable")},
        "corpora": built.corpora,
        "gates": {name: gate for name, gate in built.gates.items() if name != "lengths"},
        "rows": {"train": len(built.train), "validation": len(built.validation)},
        "columns": [],
    }
    with files.beside(folder) as temporary:
        temporary.mkdir()
        written = [_write(split, temporary, name, storage) for name, split in _splits(built)]
        report["columns"] = list(dict.fromkeys(column for names in written for column in names))
        files.write_json(temporary / REPORT, report)
    return report


def _splits(built: rows.Rows) -> Iterator[tuple[str, datasets.Dataset]]:
    yield "train", built.train
    yield "validation", built.validation


def _examples(split: datasets.Dataset) -> Iterator[Example]:
    return (Example.from_json(row["example"]) for row in split)


def _write(split: datasets.Dataset, folder: Path, name: str, storage: Storage) -> list[str]:
    """Write one split; its columns, those of TOON as the header of the shard has them."""
    if storage == "toon":
        shards = store.write(_examples(split), folder / name, rows_per_shard=SHARD).shards
        return list(dict.fromkeys(shard.fields for shard in shards))
    learnt = columns.Columns()
    for example in _examples(split):
        learnt.learn(columns.spooled(example))
    starts = range(0, len(split), SHARD)
    told: list[str] = []
    for number, start in enumerate(starts):
        part = split.select(range(start, min(start + SHARD, len(split))))
        path = folder / f"{name}-{number:05d}-of-{len(starts):05d}.parquet"
        told = _parquet((learnt.row(columns.spooled(example)) for example in _examples(part)), path)
    return told


def _parquet(table: Iterable[dict[str, Any]], path: Path) -> list[str]:
    """Write rows with one set of columns, a few at a time; their columns."""
    import itertools

    import pyarrow
    import pyarrow.parquet

    remaining = iter(table)
    first = pyarrow.Table.from_pylist(list(itertools.islice(remaining, GROUP)))
    with pyarrow.parquet.ParquetWriter(path, first.schema) as writer:
        writer.write_table(first)
        while group := list(itertools.islice(remaining, GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, first.schema))
    return list(first.schema.names)
