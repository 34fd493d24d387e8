"""A benchmark: test items and their key, read by the exam and by the gate that keeps it out of training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from medslm.data.corpus import Row, Skip, Source
from medslm.data.example import Example
from medslm.registry import Registry


@dataclass(frozen=True)
class Benchmark:
    """Test items that no corpus may contain."""

    source: Source

    license: str
    """As the Hub spells it."""

    split: str
    """The split, or the rule that chooses the items, in words."""

    items: Callable[[Row], Iterable[Example]]
    """Pure: the items of one row; raises `Skip` for a row that is none. At most one per family where items of one family
    are not independent."""

    def examples(self) -> Iterable[Example]:
        """Read the items. Raises `MedslmError` if the source cannot be had."""
        for row in self.source.rows():
            try:
                yield from self.items(row)
            except Skip:
                continue


benchmarks: Registry[Benchmark] = Registry("benchmark")
