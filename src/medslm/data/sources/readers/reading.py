"""One reader for each kind of file: by its suffix, to rows that know their line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medslm.data.sources.readers import columnar, delimited, jsons
from medslm.data.sources.readers.located import Located, say
from medslm.errors import MedslmError

Reader = Callable[[Path], Iterator[Located]]


def toon(path: Path) -> Iterator[Located]:
    """The rows of a TOON table, or of the older layout of headings. Raises `MedslmError` with file and line."""
    from medslm.data.toon import layout, store, table

    if not table.is_older_layout(path):
        for number, cells in enumerate(store.rows(path), 1):
            yield Located(_fields(cells), str(path), "row", number)
        return
    doubts: dict[str, int] = {}
    for number, record in enumerate(layout.rows(path, doubts), 1):
        cells = {name: text for name, text in record.items() if name != "ambiguous"}
        yield Located(cells, str(path), "row", number)
    for doubt, times in doubts.items():
        say(f"{path}: {times} records can be read in two ways ({doubt}); the layout escapes nothing")


def parquet(path: Path) -> Iterator[Located]:
    """The rows of a Parquet file, those that `medslm data build` wrote as the fields of their examples."""
    for row in columnar.rows(path):
        yield Located(_fields(dict(row)), str(path), "row", row.number)


def _fields(cells: dict[str, Any]) -> dict[str, Any]:
    """All fields of an example that this library wrote, since its tables leave out empty columns; or the row as it is."""
    from medslm.data.toon import columns

    try:
        ours = "id" in cells and {"output", "output_json"} & set(cells)
        return asdict(columns.example(cells)) if ours else cells
    except columns.Misfit:
        return cells


READERS: Mapping[str, Reader] = {
    ".jsonl": jsons.lines,
    ".ndjson": jsons.lines,
    ".json": jsons.either,
    ".csv": delimited.commas,
    ".tsv": delimited.tabs,
    ".parquet": parquet,
    ".toon": toon,
}
PACKED = tuple(f"{suffix}.gz" for suffix in READERS if suffix not in (".parquet", ".toon"))
KINDS = ", ".join([*READERS, *PACKED])


def suffix(path: Path) -> str:
    """`.jsonl`, `.jsonl.gz`: what the name says about the content."""
    parts = [part.lower() for part in path.suffixes[-2:]]
    return "".join(parts if parts[-1:] == [".gz"] else parts[-1:])


def is_readable(path: Path) -> bool:
    """Whether the name is that of a kind of file which is read; a manifest describes data and is none."""
    return (suffix(path) in READERS or suffix(path) in PACKED) and not path.name.endswith(".manifest.json")


def rows(path: Path) -> Iterator[Located]:
    """Every row of one file, as it is read. Raises `MedslmError` for an unknown kind, for bad rows, and for no row."""
    if not is_readable(path):
        asked = suffix(path) or "a file without a suffix"
        raise MedslmError(f"{path} is {asked}, which is not read; save it as one of {KINDS}")
    empty = True
    for row in READERS[suffix(path).removesuffix(".gz")](path):
        empty = False
        yield row
    if empty:
        raise MedslmError(f"{path} holds no rows; give a file with rows")
