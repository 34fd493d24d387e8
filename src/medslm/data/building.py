"""A lesson as a dataset of its own: screened, split, written as Parquet or TOON with the report of every gate beside it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
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

    Each split is a folder in it, so that `local:FOLDER/train` is a corpus again. Where identifiers are replaced, ids
    and families are numbers of their own, since they may be those of a record or a patient.

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
    if built.gates["deidentification"]["policy"] in rows.MASKS:
        report["gates"]["contamination"] = {**built.gates["contamination"], "pairs": _nameless(built)}
    with files.beside(folder) as temporary:
        temporary.mkdir()
        report["columns"] = _toon(built, temporary) if storage == "toon" else _tables(built, temporary)
        files.write_json(temporary / REPORT, report)
    return report


def _splits(built: rows.Rows) -> Iterator[tuple[str, datasets.Dataset]]:
    yield "train", built.train
    yield "validation", built.validation


def _nameless(built: rows.Rows) -> list[dict[str, Any]]:
    """The copies of test items that were found, without the ids of the rows."""
    return [
        {key: value for key, value in pair.items() if key != "example"}
        for pair in built.gates["contamination"]["pairs"]
    ]


def _examples(built: rows.Rows, name: str, split: datasets.Dataset) -> Iterator[Example]:
    """The examples of a split; where two corpora give one id, such as a number of a line, the second is told apart.

    Where identifiers were replaced, ids and families are numbers in the order of the rows.
    """
    hidden = built.gates["deidentification"]["policy"] in rows.MASKS
    ids: set[str] = set()
    families: dict[str, str] = {}
    for number, row in enumerate(split, 1):
        example = Example.from_json(row["example"])
        if hidden:
            family = families.setdefault(example.family, f"{name} family {len(families) + 1}")
            example = replace(example, id=f"{name} {number}", family=family)
        names = itertools.chain([example.id], (f"{example.id}#{number}" for number in itertools.count(2)))
        id = next(name for name in names if name not in ids)
        ids.add(id)
        yield example if id == example.id else replace(example, id=id)


def _toon(built: rows.Rows, folder: Path) -> list[str]:
    """Write both splits; the headers of their shards."""
    written = [
        store.write(_examples(built, name, split), folder / name, rows_per_shard=SHARD)
        for name, split in _splits(built)
    ]
    return list(dict.fromkeys(shard.fields for manifest in written for shard in manifest.shards))


def _tables(built: rows.Rows, folder: Path) -> list[str]:
    """Write both splits with the same columns, which `datasets` needs to load them together; the columns."""
    learnt = columns.Columns()
    for name, split in _splits(built):
        for example in _examples(built, name, split):
            learnt.learn(_spooled(example))
    told: list[str] = []
    for name, split in _splits(built):
        (folder / name).mkdir()
        number, table = (
            -(-len(split) // SHARD),
            (learnt.row(_spooled(example)) for example in _examples(built, name, split)),
        )
        for index in range(number):
            path = folder / name / f"{index:05d}-of-{number:05d}.parquet"
            told = _parquet(itertools.islice(table, SHARD), path)
    return told


def _spooled(example: Example) -> dict[str, Any]:
    try:
        return columns.spooled(example)
    except columns.Misfit as misfit:
        raise MedslmError(f"example {example.id} cannot be written: {misfit}") from None


def _parquet(table: Iterable[dict[str, Any]], path: Path) -> list[str]:
    """Write rows with one set of columns, a few at a time; their columns."""
    import pyarrow
    import pyarrow.parquet

    remaining = iter(table)
    first = pyarrow.Table.from_pylist(list(itertools.islice(remaining, GROUP)))
    with pyarrow.parquet.ParquetWriter(path, first.schema) as writer:
        writer.write_table(first)
        while group := list(itertools.islice(remaining, GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, first.schema))
    return list(first.schema.names)
