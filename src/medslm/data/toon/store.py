"""Examples on disk as `.toon`: one root table a file, a manifest beside it, written and read a row at a time.

    manifest = store.write(corpora["icd10cm"].load(), Path("icd.toon"))
    for example in store.examples(Path("icd.toon")): ...

The rows are spooled to a nameless temporary file beside the target, since the header counts them and the columns depend
on all of them; then the table is written and renamed into its place. Memory grows by the set of ids alone (about 200
bytes an example).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from medslm import files
from medslm.data.example import Example
from medslm.data.toon import codec, columns, manifest, table
from medslm.data.toon.columns import Columns, Misfit
from medslm.data.toon.manifest import Manifest, Shard
from medslm.errors import MedslmError

SUFFIX = ".toon"
BLOCK = 256  # rows that are encoded at a time


def write(
    examples: Iterable[Example],
    target: Path,
    *,
    rows_per_shard: int | None = None,
    about: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write examples to a file (`target` ends in .toon) or to a folder of shards, and the manifest; return it.

    A folder is written in shards of `rows_per_shard` (all in one by default) and appears as a whole; a file has one
    shard. `about` goes into the manifest as it is when the last row is written. Raises `MedslmError` for no examples,
    two with one id, parts that are not text, lone surrogates, and places that cannot be written.
    """
    from tqdm import tqdm

    if rows_per_shard is not None and (rows_per_shard < 1 or target.suffix == SUFFIX):
        raise MedslmError(
            f"{target} cannot be written with {rows_per_shard} rows a shard: a number from 1 on, and a folder, are needed"
        )
    shown = tqdm(examples, desc=f"writing {target.name}", unit=" examples", leave=False, disable=None)
    told = _told(shown)
    if target.suffix == SUFFIX:
        return _manifest([_file(told, target)], about, target)
    _refuse_to_replace(target)
    with files.beside(target) as temporary:
        temporary.mkdir()
        return _manifest(list(_folder(told, temporary, rows_per_shard)), about, temporary)


def _manifest(shards: list[Shard], about: Mapping[str, Any] | None, target: Path) -> Manifest:
    package, version = next(iter(codec.packages().items()))
    rows = sum(shard.rows for shard in shards)
    made = Manifest(rows, tuple(shards), codec.SPEC, f"{package} {version}", dict(about or {}))
    made.write(manifest.place(target))
    return made


def _refuse_to_replace(folder: Path) -> None:
    """Raise `MedslmError` if a folder holds anything that `write` did not put there."""
    if folder.exists() and not folder.is_dir():
        raise MedslmError(f"{folder} is a file; a table is written to a name in {SUFFIX} or to a folder")
    held = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    if strange := [name for name in held if name != manifest.IN_FOLDER and not name.endswith(SUFFIX)]:
        raise MedslmError(
            f"{folder} would be replaced, and it holds {', '.join(strange[:3])}; choose a folder of its own"
        )


def _told(examples: Iterable[Example]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Examples as JSON values with their number, from 1, each looked at."""
    ids: set[str] = set()
    for number, example in enumerate(examples, 1):
        try:
            told = columns.spooled(example)
        except Misfit as misfit:
            raise MedslmError(f"example {number} cannot be written: {misfit}") from None
        if told["id"] in ids:
            raise MedslmError(f"example {number} has the id of an earlier one; ids are given once in a file or folder")
        ids.add(told["id"])
        yield number, told


def _folder(told: Iterator[tuple[int, dict[str, Any]]], folder: Path, rows_per_shard: int | None) -> Iterator[Shard]:
    for number in itertools.count():
        first = next(told, None)
        if first is None and number:
            return
        rest = told if rows_per_shard is None else itertools.islice(told, rows_per_shard - 1)
        yield _file(itertools.chain([] if first is None else [first], rest), folder / f"{number:05d}{SUFFIX}")


def _file(told: Iterator[tuple[int, dict[str, Any]]], path: Path) -> Shard:
    """Write one table."""
    first = next(told, None)
    if first is None:
        raise MedslmError(f"there are no examples to write to {path}; nothing was written")
    learnt, rows = Columns(), 0
    with files.beside(path) as temporary, tempfile.TemporaryFile(dir=temporary.parent) as spool:
        for number, example in itertools.chain([first], told):
            learnt.learn(example)
            spool.write(_line(number, example))
            rows += 1
        spool.seek(0)
        return _table(spool, learnt, rows, temporary, path.name)


def _line(number: int, told: dict[str, Any]) -> bytes:
    try:
        return json.dumps(told, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        raise MedslmError(
            f"example {number} cannot be written: it holds half of a surrogate pair, which UTF-8 cannot hold; mend its text"
        ) from None


def _table(spool: IO[bytes], learnt: Columns, rows: int, path: Path, name: str) -> Shard:
    """Write the table of all spooled rows to `path`; `name` is what the file will be called."""
    digest, size, fields = hashlib.sha256(), 0, ""
    with path.open("wb") as stream:
        while block := [learnt.row(json.loads(line)) for line in itertools.islice(spool, BLOCK)]:
            header, _, body = codec.encode(block).partition("\n")
            piece = f"{body}\n"
            if not fields:
                fields = header.partition("]")[2].removesuffix(":")
                piece = f"[{rows}]{fields}:\n{piece}"
            data = piece.encode()
            digest.update(data)
            size += stream.write(data)
    return Shard(name, rows, fields, size, digest.hexdigest())


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Every row of a `.toon` file with one root table, or of a folder that `write` made; all scalars are text.

    A manifest's SHA-256 is checked before the first row of a file. Raises `MedslmError`, with file and line and never
    with content, for damage of any kind and for two rows with one `id`.
    """
    for _, _, row in _rows(path):
        yield row


def examples(path: Path) -> Iterator[Example]:
    """The examples that `write` wrote, in their order. Raises `MedslmError` as `rows` does."""
    for file, number, row in _rows(path):
        try:
            yield columns.example(row)
        except Misfit as misfit:
            raise MedslmError(f"{file}, line {number}: the row is no example: {misfit}") from None


def _rows(path: Path) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """File, line and row."""
    ids: set[Any] = set()
    for file in _verified(path):
        for number, row in table.rows(file):
            if isinstance(row.get("id"), str):
                if row["id"] in ids:
                    raise MedslmError(f"{file}, line {number}: an earlier row has the same id; ids are given once")
                ids.add(row["id"])
            yield file, number, row


def _verified(path: Path) -> Iterator[Path]:
    """The files to read, each checked against the manifest just before it is read."""
    if not path.exists():
        raise MedslmError(f"{path} is not there")
    if path.is_dir():
        for shard in _listed(path):
            shard.verify(path / shard.name)
            yield path / shard.name
    else:
        if told := manifest.beside(path):
            told.shard(path).verify(path)
        else:
            table.log.warning("%s has no manifest, so only the number and width of its rows are checked", path)
        yield path


def _listed(folder: Path) -> tuple[Shard, ...]:
    """The shards of a folder. Raises `MedslmError` if it has no manifest or other shards than that lists."""
    held = {path.name for path in folder.glob(f"*{SUFFIX}")}
    if not (folder / manifest.IN_FOLDER).exists():
        there = f"; it holds {', '.join(sorted(held))}: name one of them" if held else ""
        raise MedslmError(f"{folder} has no {manifest.IN_FOLDER}, so it is no folder of shards{there}")
    shards = manifest.read(folder / manifest.IN_FOLDER).shards
    listed = {shard.name for shard in shards}
    if odd := sorted(held ^ listed):
        raise MedslmError(
            f"{folder} and its manifest differ in {', '.join(odd[:3])}; fetch or write the folder again, as a whole"
        )
    return shards
