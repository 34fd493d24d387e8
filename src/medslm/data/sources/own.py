"""One's own data as a corpus: `local:PATH`, or any dataset of the Hub as `org/name`, `org/name:config:split`."""

from __future__ import annotations

import os.path
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from medslm.data.corpus import Corpus, corpora
from medslm.data.example import digest
from medslm.data.license import TERMS
from medslm.data.sources.hub import Dataset
from medslm.data.sources.local import Local
from medslm.data.sources.readers.located import Located, named, say
from medslm.data.sources.shapes import mapping
from medslm.data.sources.shapes.examples import examples, id_of
from medslm.data.sources.shapes.mapping import Columns
from medslm.data.sources.shapes.plans import Plan, plan
from medslm.data.sources.shapes.values import Unfit
from medslm.errors import MedslmError
from medslm.registry import nearest

LOCAL = "local:"
ON_THE_HUB = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(:(?P<config>[^:]*))?(:(?P<split>[^:]+))?")
EXAMS = ("test", "val", "dev", "eval", "heldout", "held_out", "holdout")
"""How the splits begin that are kept for an exam."""

Reading = Callable[[], Iterable[Located]]
"""Reads all rows, from the first one, each time that it is called."""


@dataclass(frozen=True)
class OwnFiles(Local):
    """Files whose rows all have one shape, recognised or as mapped, and ids that are given once."""

    columns: Columns = ()

    def rows(self) -> Iterator[Located]:
        """Every row, which knows its line. Raises `MedslmError` for another shape and for an id given twice."""
        return recognised(super().rows, self.columns, f"{self.name} ({self.path})")


@dataclass(frozen=True)
class OwnDataset(Dataset):
    """One split of a dataset on the Hub whose rows all have one shape, recognised or as mapped, and ids given once."""

    columns: Columns = ()

    def rows(self) -> Iterator[Located]:
        """Every row, counted from 1. Raises `MedslmError` for another shape and for an id given twice."""
        return recognised(self._located, self.columns, f"{self.hub_id}, split {self.split}")

    def _located(self) -> Iterator[Located]:
        for number, row in enumerate(super().rows(), 1):
            yield Located(dict(row), self.hub_id, "row", number)


def recognised(read: Reading, columns: Columns, called: str) -> Iterator[Located]:
    """The rows that `read` gives, each with the columns of the first; their shape and what is not used are said.

    Raises `MedslmError` for columns of no known shape and, behind the last row, for an id that was given twice: 8 bytes
    a row are kept for that.
    """
    header: tuple[str, ...] = ()
    used: set[str] = set()
    ids = array("Q")
    for row in read():
        planned, number = _planned(row, columns)
        if not header:
            header, used = tuple(row), {*row}
            counted = "" if "id" in planned.roles else f"; ids are numbers of {row.unit}s"
            say(f"{called}: {planned.told}{counted}")
        if late := [column for column in planned.unused if column not in used]:
            used.update(late)
            say(f"{called}: from {row.unit} {row.number} on, also not used: {named(late)}")
        if number is not None:
            ids.append(number)
        row.header = header
        yield row
    _check_ids(ids, read, columns)


def _planned(row: Located, columns: Columns) -> tuple[Plan, int | None]:
    """What the row's columns are, and 64 bits that stand for the id in one of them."""
    try:
        planned = plan(tuple(row), columns)
        if "id" not in planned.roles:
            return planned, None
        return planned, digest(id_of(planned, row))
    except Unfit as unfit:
        raise MedslmError(f"{row.place}: {unfit}") from None


def _check_ids(ids: array[int], read: Reading, columns: Columns) -> None:
    """Raise `MedslmError` if an id stands in two rows; those are found in a second reading."""
    import numpy

    ordered = numpy.sort(numpy.frombuffer(ids, dtype=numpy.uint64)) if ids else numpy.empty(0, numpy.uint64)
    suspects = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
    first: dict[str, Located] = {}
    for row in read() if suspects else ():
        planned, number = _planned(row, columns)
        if number in suspects:
            id = id_of(planned, row)
            if id in first:
                raise MedslmError(
                    f"the id '{id[:64]}' is given twice: {first[id].place} and {row.place}; give every row an id of its "
                    "own, or rename that column to have the rows counted"
                )
            first[id] = row


def corpus(name: str, columns: Mapping[str, str], license: str | None) -> Corpus:
    """The corpus that a mixture calls `local:PATH`, `org/name`, `org/name:config` or `org/name:config:split`.

    `columns` are a recipe's (`input`, or `local:notes.csv:input` for one corpus): field -> column, `a+b` or `=constant`; a
    mapping of `output` is complete, any other adds to the shape that is recognised. `license` is a name in
    `data/license.py`; without one it is `unknown`. Nothing is read before rows are asked for.
    Raises `MedslmError` for a name of another form, a split kept for an exam, an unknown field and an unknown licence.
    """
    source = _source(name, columns)
    return Corpus(source, _license(name, license), "own data", (), partial(examples, columns=source.columns))


def _source(name: str, columns: Mapping[str, str]) -> OwnFiles | OwnDataset:
    if name.startswith(LOCAL):
        if not (path := name.removeprefix(LOCAL)):
            raise MedslmError("'local:' names no file; write local:PATH, such as local:notes.csv")
        files = Local(Path(path).expanduser())
        return OwnFiles(files.path, mapping.of_corpus(columns, name, files.name))
    if not (found := ON_THE_HUB.fullmatch(name)):
        raise MedslmError(
            f"'{name}' is neither local:PATH nor a dataset of the Hub; write org/name, "
            "org/name:config or org/name:config:split"
        )
    split = found["split"] or "train"
    for piece in split.split("+"):
        if piece.strip().lower().startswith(EXAMS):
            raise MedslmError(
                f"'{name}' asks for the split '{piece.strip()}', and a corpus has no test split: what is kept for an "
                "exam is not learnt; name a training split"
            )
    taken = mapping.of_corpus(columns, name, found["id"])
    return OwnDataset(hub_id=found["id"], config=found["config"] or None, split=split, columns=taken)


def _license(name: str, license: str | None) -> str:
    told = (license or "unknown").strip().lower()
    if told != "unknown" and told not in TERMS:
        raise MedslmError(
            f"corpus '{name}' is given the licence '{told}', which is not in the table of licences"
            f"{nearest(told, list(TERMS))} write it as https://huggingface.co/docs/hub/repositories-licenses does, or "
            "leave it out if nobody knows it"
        )
    return told


def resolve(name: str, columns: Mapping[str, str], licenses: Mapping[str, str]) -> Corpus:
    """The registered corpus of that name, or else one's own data (see `corpus`); `licenses` go by the mixture's names.

    Raises `MedslmError` for a name that is neither, and for columns or a licence given to a registered corpus.
    """
    if name in corpora:
        told = [key for key in columns if key.rpartition(":")[0] == name] + [key for key in licenses if key == name]
        if told:
            raise MedslmError(
                f"'{name}' is a registered corpus with columns and a licence of its own; take {', '.join(told)} out of "
                "columns and licenses"
            )
        return corpora[name]
    if not name.startswith(LOCAL):
        if os.path.exists(os.path.expanduser(name)):  # unlike Path.exists, false for what can be no path
            raise MedslmError(
                f"no corpus is called '{name}', but there is such a file or folder; write {LOCAL}{name} for it"
            )
        if not ON_THE_HUB.fullmatch(name):
            return corpora[name]  # raises the registry's sentence, with the nearest name
    return corpus(name, columns, licenses.get(name))
