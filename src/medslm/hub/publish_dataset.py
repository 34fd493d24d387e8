"""Publish a built dataset: its shards, its report and its card in one commit, if its licences allow it."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import medslm.data.builders  # noqa: F401  (registers the corpora, whose licences are compared)
from medslm import files
from medslm.data import license
from medslm.data.corpus import corpora
from medslm.errors import MedslmError
from medslm.hub import bundle, client, dataset_card
from medslm.hub.bundle import Bundle
from medslm.hub.push import Parcel, Pushed, send

REPORT, CARD = "build.json", "README.md"
SHARDS = ("*.parquet", "*.toon")
NEEDED = ("name", "license", "flags", "publishable", "reasons", "corpora", "gates", "rows", "columns")
"""Keys of `build.json`, as `medslm data build` writes it."""


def push(
    folder: Path, repo_id: str, *, private: bool = True, token: str | None = None, deadline: float = 3600.0
) -> Pushed:
    """Publish the folder of a built dataset as the dataset repository `repo_id`, and write its card into it.

    Whatever is wrong with it is said before the Hub is asked: a licence that forbids it, shards that are not what
    `build.json` counts. `deadline` is in seconds, upload included. Raises `MedslmError`.
    """
    client.check_repo_id(repo_id)
    parcel = Parcel(collect(folder), folder.resolve().name, "dataset", is_ours)
    return send(parcel, repo_id, private=private, token=token, deadline=deadline)


def is_ours(path: str) -> bool:
    """Whether a push may have put this path into a repository."""
    return path in (CARD, REPORT, bundle.SUMS) or any(fnmatch.fnmatchcase(path, pattern) for pattern in SHARDS)


def collect(folder: Path) -> Bundle:
    """The files of a built dataset, checked, its card newly written. Raises `MedslmError` if they may not be published."""
    if not folder.is_dir():
        raise MedslmError(f"there is no built dataset at {folder}; `medslm data build` makes one")
    report = _report(folder)
    terms = _terms(folder, report)
    shards = _shards(folder, report)
    files.write_text(folder / CARD, dataset_card.text(report, terms, shards))
    chosen = {
        name: folder / name for name in (CARD, REPORT, *sorted(name for names in shards.values() for name in names))
    }
    for name, path in chosen.items():
        bundle.check_for_tokens(name, path)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    rest = tuple(sorted(names - set(chosen) - {bundle.SUMS}))
    return Bundle(chosen, rest, {name: files.sha256(path) for name, path in chosen.items()})


def _report(folder: Path) -> dict[str, Any]:
    report = files.read_json(folder / REPORT, "medslm data build")
    lacking = [key for key in NEEDED if not isinstance(report, dict) or key not in report]
    if lacking:
        raise MedslmError(
            f"{folder / REPORT} does not say {', '.join(lacking)}; build it again with `medslm data build`"
        )
    found: dict[str, Any] = report
    return found


def _terms(folder: Path, report: Mapping[str, Any]) -> license.License:
    """The licence of the whole. Raises `MedslmError` where it forbids publishing, or is not what the build recorded."""
    stated = {name: corpus["license"] for name, corpus in report["corpora"].items()}
    for name, then in stated.items():
        now = corpora[name].license if name in corpora else then
        if then != now:
            raise MedslmError(
                f"{folder / REPORT} says that corpus '{name}' is under '{then}', its record says '{now}'; find out which "
                "holds, and build again"
            )
    terms = license.of_dataset(stated)
    if not (terms.publishable and report["publishable"]):
        reasons = dict.fromkeys([*terms.reasons, *report["reasons"]])
        raise MedslmError(
            f"{folder} may not be published, since every row of it would be: {'; '.join(reasons)}. Keep it, or build "
            "without these corpora"
        )
    return terms


def _shards(folder: Path, report: Mapping[str, Any]) -> dict[str, list[str]]:
    """Split -> its files; each must be of one split, and hold the rows and columns that the report counts."""
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    held = [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in SHARDS)]
    shards = {split: [name for name in held if re.match(rf"{re.escape(split)}[-./]", name)] for split in report["rows"]}
    if strangers := set(held).difference(*shards.values()):
        raise MedslmError(
            f"{folder} holds {', '.join(sorted(strangers))}, which {REPORT} does not count; build it again"
        )
    for split, rows in report["rows"].items():
        if rows and not shards[split]:
            raise MedslmError(f"{folder} has no file of its {rows} rows for {split}; build it again")
        _check_shards(folder, split, shards[split], rows, report["columns"])
    return {split: found for split, found in shards.items() if found}


def _check_shards(folder: Path, split: str, names: list[str], rows: int, columns: list[str]) -> None:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    found = 0
    for name in names:
        if not name.endswith(".parquet"):
            return  # TOON says how many rows it holds in its own header
        try:
            shard = pyarrow.parquet.ParquetFile(folder / name)
        except (pyarrow.ArrowException, OSError) as error:
            raise MedslmError(f"{folder / name} is not a readable Parquet file: {error}; build it again") from error
        found += shard.metadata.num_rows
        if shard.schema_arrow.names != list(columns):
            raise MedslmError(
                f"{folder / name} has the columns {', '.join(shard.schema_arrow.names)}, and {REPORT} says "
                f"{', '.join(columns)}; build it again"
            )
    if found != rows:
        raise MedslmError(f"{folder} holds {found} rows for {split}, and {REPORT} counts {rows}; build it again")
