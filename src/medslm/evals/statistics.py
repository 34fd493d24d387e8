"""What numbers of right answers allow to be said: intervals, and tests that pair each answer with its twin."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from medslm.errors import MedslmError

Z = 1.959963984540054  # 97.5 % of a standard normal distribution lies below


def _refuse_empty(n: int) -> None:
    if n < 1:
        raise MedslmError("a score of 0 items was asked for; judge at least one item")


def standard_error(right: int, n: int) -> float:
    """Of a proportion, sqrt(p(1 - p) / n)."""
    _refuse_empty(n)
    return math.sqrt(right / n * (1 - right / n) / n)


def wilson(right: int, n: int) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927, doi:10.1080/01621459.1927.10502953); never outside 0 to 1."""
    _refuse_empty(n)
    p, spread = right / n, Z * Z / n
    middle = (p + spread / 2) / (1 + spread)
    half = Z * math.sqrt(p * (1 - p) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Pairs:
    """The fourfold table of two models that answered the same items."""

    both: int
    adapter_only: int
    base_only: int
    neither: int

    @classmethod
    def of(cls, base: Sequence[int], adapter: Sequence[int]) -> Pairs:
        """Count two rows of 1 (right) and 0; raises `MedslmError` if they are not as long as each other, or empty."""
        if len(base) != len(adapter):
            raise MedslmError(
                f"the base answered {len(base)} items and the adapter {len(adapter)}; judge both on the same items"
            )
        _refuse_empty(len(base))
        seen = Counter(zip(base, adapter))
        return cls(seen[1, 1], seen[0, 1], seen[1, 0], seen[0, 0])

    @property
    def n(self) -> int:
        """Items."""
        return self.both + self.adapter_only + self.base_only + self.neither

    @property
    def difference(self) -> float:
        """The adapter's share of right answers less the base's."""
        return (self.adapter_only - self.base_only) / self.n

    @property
    def p_mcnemar(self) -> float:
        """Exact McNemar test: how often chance splits the items that only one got right at least as unevenly.

        Two-sided binomial test on the discordant pairs (McNemar 1947, doi:10.1007/BF02295996); 1 if there is none.
        """
        from scipy.stats import binomtest

        discordant = self.adapter_only + self.base_only
        return float(binomtest(self.adapter_only, discordant).pvalue) if discordant else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference: method 10 of Newcombe 1998, Statistics in Medicine 17:2635-2650.

        Wilson intervals of the two shares, squared and added with their correlation (corrected for continuity); right
        where a bootstrap or Wald interval is not: few items, shares near 0 or 1, no discordant pair.
        """
        adapter, base = self.both + self.adapter_only, self.both + self.base_only
        (low_a, high_a), (low_b, high_b) = wilson(adapter, self.n), wilson(base, self.n)
        p_a, p_b, phi = adapter / self.n, base / self.n, self._phi()
        return (
            self.difference - _combined(p_a - low_a, high_b - p_b, phi),
            self.difference + _combined(high_a - p_a, p_b - low_b, phi),
        )

    def _phi(self) -> float:
        """Correlation of the two models' successes, drawn towards 0 by n/2 if it is positive."""
        margins = math.prod(
            (
                self.both + self.adapter_only,
                self.base_only + self.neither,
                self.both + self.base_only,
                self.adapter_only + self.neither,
            )
        )
        if margins == 0:
            return 0.0
        excess = self.both * self.neither - self.adapter_only * self.base_only
        return (max(excess - self.n / 2, 0) if excess > 0 else excess) / math.sqrt(margins)


def _combined(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))


def majority(labels: Sequence[str]) -> float:
    """The score of always giving the most frequent label."""
    _refuse_empty(len(labels))
    return Counter(labels).most_common(1)[0][1] / len(labels)


def mean(values: Sequence[int]) -> float:
    """Share of ones."""
    _refuse_empty(len(values))
    return sum(values) / len(values)
