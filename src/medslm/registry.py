"""A registry: a read-only mapping from a name to a record, whose misses explain themselves."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import TypeVar

from medslm.errors import MedslmError

Record = TypeVar("Record")


def nearest(name: str, known: list[str]) -> str:
    """`; did you mean 'medmcqa'?` for the closest of `known`, or nothing."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ";"


class UnknownName(MedslmError, KeyError):
    """A name that no record of the registry carries (a `KeyError` too, as `Mapping` promises)."""

    __str__ = MedslmError.__str__  # KeyError would show the sentence in quotes


class Registry(Mapping[str, Record]):
    """Names of one kind of record (`kind` is the word used in messages, such as 'corpus')."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._records: dict[str, Record] = {}

    def add(self, name: str, record: Record) -> Record:
        """Register `record` and return it; a second use of a name raises `MedslmError`."""
        if name in self._records:
            raise MedslmError(f"two records of kind {self.kind} are called '{name}'; names are given once")
        self._records[name] = record
        return record

    def __getitem__(self, name: str) -> Record:
        try:
            return self._records[name]
        except KeyError:
            known = sorted(self._records)
            raise UnknownName(
                f"no {self.kind} is called '{name}'{nearest(name, known)} known: {', '.join(known) or 'none'}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)
