"""Where benchmarks are read: as they are registered, or from files where there is no Hub (`MEDSLM_DATA=NAME=PATH`)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import medslm.data.builders  # noqa: F401  (registers the benchmarks)
from medslm.data.benchmark import Benchmark, benchmarks
from medslm.data.builders.pubmedqa import Labelled, digest
from medslm.data.corpus import Row, Skip, naming, place_of
from medslm.data.example import Example
from medslm.data.sources.local import Local
from medslm.data.sources.readers.located import Located, named
from medslm.errors import MedslmError

VARIABLE = "MEDSLM_DATA"
"""`NAME=PATH`, several with the system's separator of paths between them; processes that are started inherit it."""

AUTHORS = {"pubid": "PMID", "question": "QUESTION", "final_decision": "final_decision"}
"""PubMedQA: column on the Hub -> name in the authors' files (https://github.com/pubmedqa/pubmedqa)."""


def use(pairs: Iterable[str]) -> None:
    """Read benchmarks from files from now on, in this process and in those that it starts: each is `NAME=PATH`.

    A file has the columns of the benchmark's dataset on the Hub; of PubMedQA, the official test alone will do, and the
    authors' names. Raises `MedslmError` for what is not such a pair, an unknown benchmark, one that is named twice and a
    path without rows.
    """
    told = paths()
    for name, path in _places(pairs).items():
        if os.pathsep in str(path):
            raise MedslmError(f"the path {path} holds '{os.pathsep}', which separates paths; rename it, or make a link")
        Local(path).files()
        told[name] = path
    os.environ[VARIABLE] = os.pathsep.join(f"{name}={path}" for name, path in told.items())


def paths() -> dict[str, Path]:
    """Benchmark -> the file or folder that `MEDSLM_DATA` names for it. Raises `MedslmError` for what it cannot mean."""
    return _places(pair for pair in os.environ.get(VARIABLE, "").split(os.pathsep) if pair)


def _places(pairs: Iterable[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for pair in pairs:
        name, path = _pair(pair)
        if found.setdefault(name, path) != path:
            raise MedslmError(f"{name} is said to lie in two places, {found[name]} and {path}; name one of them")
    return found


def _pair(told: str) -> tuple[str, Path]:
    name, equals, path = told.partition("=")
    if not (name and equals and path):
        raise MedslmError(
            f"'{told}' does not say where a benchmark lies; write NAME=PATH, as in medqa=exams/medqa.jsonl"
        )
    benchmarks[name]  # raises the registry's sentence, with the nearest name
    return name, Path(path).expanduser().resolve()


def benchmark(name: str, registry: Mapping[str, Benchmark] = benchmarks) -> Benchmark:
    """The benchmark of that name, with the file that was given for it as its source. Raises `MedslmError`."""
    record, path = registry[name], paths().get(name)
    if path is None:
        return record
    file = Local(path)
    source = OfficialFile(AuthorsFile(path)) if isinstance(record.source, Labelled) else file
    return replace(record, source=source)


def read(record: Benchmark, left_out: Counter[str] | None = None) -> Iterator[tuple[Row, Example]]:
    """Each item with its row; `left_out` counts by reason the rows that are no item of this benchmark.

    Raises `MedslmError` if the rows cannot be had, or lack a column that is needed.
    """
    for number, row in enumerate(record.source.rows(), 1):
        try:
            with naming(row, number, record.source):
                items = [(row, item) for item in record.items(row)]
            yield from items
        except Skip as why:
            if left_out is not None:
                left_out[str(why)] += 1
        except KeyError as error:
            if isinstance(error, MedslmError):
                raise
            place = place_of(row, number, record.source)
            raise MedslmError(
                f"{place} has no column {error.args[0]}; it has {named(tuple(row))}. The data has another shape than the "
                "benchmark's dataset on the Hub: rename its columns, or pin an older revision"
            ) from error


@dataclass(frozen=True)
class AuthorsFile(Local):
    """PubMedQA's rows from a file, under the names of the Hub whichever of the two sets of names it has."""

    def rows(self) -> Iterator[Any]:
        """Every row. Raises `MedslmError` for what cannot be read."""
        for row in super().rows():
            if "PMID" in row and "CONTEXTS" in row:
                told = {ours: row[theirs] for ours, theirs in AUTHORS.items() if theirs in row}
                yield Located({**told, "context": {"contexts": row["CONTEXTS"]}}, row.file, row.unit, row.number)
            else:
                yield row


@dataclass(frozen=True)
class OfficialFile(Labelled):
    """The labelled questions from a file that holds all of them, or the official test and nothing else."""

    def rows(self) -> Iterator[Row]:
        """Every row, marked. Raises `MedslmError` if the file is neither."""
        if digest(str(row.get("pubid")) for row in self.source.rows()) == self.expected:
            yield from ({**row, "official_test": True} for row in self.source.rows())
        else:
            yield from super().rows()
