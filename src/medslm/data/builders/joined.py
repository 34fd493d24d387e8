"""Several configurations or splits of one dataset on the Hub, read one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from medslm.data.corpus import Row
from medslm.data.sources.hub import Dataset


@dataclass(frozen=True)
class Joined:
    """Parts of one dataset, with one commit for all."""

    parts: tuple[Dataset, ...]

    @property
    def name(self) -> str:
        """The Hub id of the parts."""
        return self.parts[0].name

    def rows(self) -> Iterator[Row]:
        """Every row of every part, in their order."""
        for part in self.parts:
            yield from part.rows()

    def version(self) -> str:
        """The commit."""
        return self.parts[0].version()
