"""Rows of a dataset on the Hub: only the files of one split are fetched, checked, and read from disk piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from medslm import asking, lock, snapshot
from medslm.data.corpus import Row
from medslm.data.sources import hub_layout
from medslm.errors import MedslmError

CARD = "README.md"
CONVERTED = "refs/convert/parquet"
"""The branch on which the Hub keeps Parquet files that it has made of other formats.
https://huggingface.co/docs/dataset-viewer/parquet"""
BATCH = 500  # rows in memory at a time


@dataclass(frozen=True)
class Dataset:
    """Rows of one configuration of a dataset on the Hub."""

    hub_id: str

    config: str | None = None
    """The configuration; needed where the dataset has several and names no default."""

    split: str = "train"
    """One split, or several, read one after the other: `train+validation`."""

    @property
    def name(self) -> str:
        """The Hub id."""
        return self.hub_id

    def version(self) -> str:
        """The commit: the locked one, else the newest."""
        return commit(self.hub_id)

    def fetch(self) -> Fetched:
        """The checked files of this split, on this disk.

        Raises `MedslmError` if they cannot be had, or if the dataset has no such configuration or split.
        """
        version = self.version()
        listed = snapshot.listing(self.hub_id, "dataset", version)
        what = f"{self.hub_id} at {version[:12]}"
        if script(self.hub_id) in listed:
            raise MedslmError(
                f"{what} is made by a program ({script(self.hub_id)}), which is not run, and the Hub has no Parquet "
                "version of it; choose another dataset, or download its files and name them as `local:PATH`"
            )
        fixed = [CARD] if CARD in listed else []
        folder = snapshot.fetch(self.hub_id, "dataset", fixed, version).folder
        chosen = hub_layout.choose(what, listed, folder / CARD if fixed else None, self.config, self.split)
        folder = snapshot.fetch(self.hub_id, "dataset", snapshot.exactly(chosen.files), version).folder
        return Fetched(folder, (*fixed, *chosen.files), chosen)

    def rows(self) -> Iterable[Row]:
        """Every row as a plain dict, in the order of the files. Raises `MedslmError`, also for an empty split."""
        return self._read(self.fetch())

    def _read(self, fetched: Fetched) -> Iterator[Row]:
        where, number = f"{self.hub_id} ({self.config or 'default'}, {self.split})", 0
        try:
            for batch in fetched.batches():
                for values in zip(*batch.values()):
                    yield dict(zip(batch, values))
                    number += 1
        except Exception as error:  # the readers of four formats raise their own
            said = str(error).splitlines()[0] if str(error) else ""
            raise MedslmError(
                f"{where} cannot be read after row {number}: {type(error).__name__}: {said}; the files are as they were "
                "published, so lock an older commit, or tell the dataset's author"
            ) from error
        if not number:
            raise MedslmError(f"{where} has no rows; choose another split")


@dataclass(frozen=True)
class Fetched:
    """Checked files of one split."""

    folder: Path
    files: tuple[str, ...]
    """What was fetched, the dataset's card included."""
    chosen: hub_layout.Chosen

    def batches(self) -> Iterator[Mapping[str, list[Any]]]:
        """The rows as columns, some at a time: nothing is converted, copied or kept in memory."""
        import datasets

        paths = [str(self.folder / file) for file in self.chosen.files if has_rows(self.folder / file)]
        if not paths:
            return
        rows = datasets.load_dataset(
            self.chosen.reader, data_files={"rows": paths}, split="rows", streaming=True, **self.chosen.options
        )
        yield from rows.iter(batch_size=BATCH)


def has_rows(path: Path) -> bool:
    """False for a file that is surely empty: the readers of `datasets` 5.2 fail on those."""
    import pyarrow.parquet  # type: ignore[import-untyped]

    if path.suffix == ".parquet":
        return bool(pyarrow.parquet.read_metadata(path).num_rows)
    return path.stat().st_size > 0


def script(hub_id: str) -> str:
    """The program that once made the rows of such a dataset: `med_qa.py` for `bigbio/med_qa`."""
    return f"{PurePosixPath(hub_id).name}.py"


def commit(hub_id: str) -> str:
    """The commit at which a dataset is read: the locked one, else the newest."""
    if lock.commit(hub_id, "dataset"):
        return snapshot.resolve(hub_id, "dataset")
    return _of_files(hub_id, snapshot.resolve)


def newest(hub_id: str) -> str:
    """The newest commit that can be read, whatever the lock says. Raises `MedslmError` if the Hub does not tell."""
    return _of_files(hub_id, snapshot.newest)


def _of_files(hub_id: str, resolve: Callable[[str, lock.Kind, str], str]) -> str:
    """The commit of `main`, or of the Hub's Parquet version where `main` holds a program."""
    head = resolve(hub_id, "dataset", "main")
    if script(hub_id) not in snapshot.listing(hub_id, "dataset", head):
        return head
    snapshot.fetch(hub_id, "dataset", [CARD], head)  # so that this is known without the Hub, too
    try:
        converted = resolve(hub_id, "dataset", CONVERTED)
    except asking.Unreachable:
        raise
    except MedslmError:  # there is none: `fetch` says what that means
        return head
    return converted
