"""What answers to a number of items allow to be said: intervals, and tests that pair each answer with its twin."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

Z = 1.959963984540054  # 97.5 % of a standard normal distribution lies below
ALPHA = 0.05
RESAMPLES = 2000
FLIPS, FLIPS_AT_ONCE = 10_000, 500
"""Random signs of a permutation test, and how many are held at once: their number times that of the items."""

NO_DIFFERENCE = "no difference shown"


def _refuse_empty(n: int) -> None:
    if n < 1:
        raise MedslmError("a score of 0 items was asked for; judge at least one item")


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval and the number of items behind it."""

    value: float
    low: float
    high: float
    n: int

    def as_json(self) -> dict[str, Any]:
        """As figures stand in `scores.json`."""
        return {"value": self.value, "ci95": [self.low, self.high], "n": self.n}


def estimate(values: Collection[float]) -> Estimate:
    """Mean over items: Wilson's interval if each is 0 or 1, else a bootstrap. Raises `MedslmError` as these two do."""
    if set(values) <= {0, 1}:
        return share(int(sum(values)), len(values))
    import numpy

    return bootstrap(numpy.mean, values)


@dataclass(frozen=True)
class Difference(Estimate):
    """A mean less the reference's mean on the same items, with the p of its paired test."""

    p: float

    def as_json(self) -> dict[str, Any]:
        """As figures stand in `scores.json`."""
        return {**super().as_json(), "p": self.p}


def share(right: int, n: int) -> Estimate:
    """Proportion of `n` items with its Wilson interval; raises `MedslmError` for none."""
    low, high = wilson(right, n)
    return Estimate(right / n, low, high, n)


def average(values: Collection[float], least: float = -math.inf, most: float = math.inf) -> Estimate:
    """Mean of independent values with the interval of Student's t, which a few values widen without end.

    It is cut where the mean cannot lie, below `least` and above `most`. Raises `MedslmError` for fewer than two values.
    """
    summary = Repeats.of(values)
    return Estimate(summary.mean, max(least, summary.low), min(most, summary.high), summary.n)


def wilson(right: float, n: int) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927, doi:10.1080/01621459.1927.10502953); never outside 0 to 1."""
    _refuse_empty(n)
    p, spread = right / n, Z * Z / n
    middle = (p + spread / 2) / (1 + spread)
    half = Z * math.sqrt(p * (1 - p) / n + spread / (4 * n)) / (1 + spread)
    return (max(0.0, middle - half) if right else 0.0), (min(1.0, middle + half) if right < n else 1.0)


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


def bootstrap(
    statistic: Callable[..., float], *columns: Collection[Any], resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """A statistic of items with its percentile bootstrap interval (Efron 1979, doi:10.1214/aos/1176344552).

    `columns` hold what is known of the same n items, which are drawn together: `statistic(*columns)`. Raises
    `MedslmError` for fewer than two items or columns of unlike length.
    """
    import numpy
    import scipy.stats

    arrays = [numpy.asarray(column) for column in columns]
    n = len(arrays[0])
    if n < 2 or any(len(array) != n for array in arrays):
        lengths = ", ".join(str(len(array)) for array in arrays)
        raise MedslmError(
            f"a bootstrap was asked for over columns of {lengths} items; give the same two or more to each"
        )
    found = scipy.stats.bootstrap(
        (numpy.arange(n),),
        lambda drawn: statistic(*(array[drawn] for array in arrays)),
        vectorized=False,
        method="percentile",
        n_resamples=resamples,
        batch=100,  # bounds memory: 100 x n indices
        rng=seed,
    ).confidence_interval
    return Estimate(float(statistic(*arrays)), float(found.low), float(found.high), n)


def difference(reference: Sequence[float], other: Sequence[float], seed: int = 0) -> Difference:
    """Mean of `other` less mean of `reference`, item by item.

    Values of 0 and 1: Newcombe's interval and McNemar's exact test (`Pairs`). Others: a bootstrap of the items, and the
    sign-flip permutation test (Fisher 1935), exact where 2^n is below 10,000. Raises `MedslmError` as `Pairs.of` and
    `bootstrap` do.
    """
    if {*reference, *other} <= {0, 1}:
        pairs = Pairs.of([int(value) for value in reference], [int(value) for value in other])
        return Difference(pairs.difference, *pairs.interval, pairs.n, pairs.p_mcnemar)
    import numpy

    found = bootstrap(lambda old, new: float(numpy.mean(new - old)), reference, other, seed=seed)
    apart = numpy.asarray(other, dtype=float) - numpy.asarray(reference, dtype=float)
    return Difference(found.value, found.low, found.high, found.n, _sign_flips(apart, seed))


def _sign_flips(apart: Array, seed: int) -> float:
    """p of differences (n,) that are as far from 0 as these, had each one either sign with equal chance; two-sided."""
    import numpy

    n, bound = len(apart), abs(apart.sum()) - 1e-9 * numpy.abs(apart).sum()  # sums of other orders round otherwise
    if 2**n < FLIPS:
        signs = 1 - 2.0 * (numpy.arange(2**n)[:, None] >> numpy.arange(n) & 1)
        return float((numpy.abs(signs @ apart) >= bound).mean())
    order, hits = numpy.random.default_rng(seed), 0
    for size in [FLIPS_AT_ONCE] * (FLIPS // FLIPS_AT_ONCE):
        signs = 1 - 2.0 * order.integers(2, size=(size, n))
        hits += int((numpy.abs(signs @ apart) >= bound).sum())
    return (1 + hits) / (FLIPS + 1)


def holm(ps: Sequence[float]) -> list[float]:
    """Each p adjusted so that one false alarm in the family is as rare as alpha, in the given order.

    Holm 1979, Scandinavian Journal of Statistics 6:65-70. Raises `MedslmError` for a p outside 0 to 1.
    """
    if wrong := [p for p in ps if not 0 <= p <= 1]:
        raise MedslmError(f"{wrong[0]} is no p-value; give numbers from 0 to 1")
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = largest
    return adjusted


def verdict(found: Difference, p: float | None = None, lower_is_better: bool = False) -> str:
    """`better`, `worse`, or `no difference shown` where chance alone may explain it; `p`: adjusted, else its own."""
    if not (found.p if p is None else p) < ALPHA or found.low <= 0 <= found.high:
        return NO_DIFFERENCE
    return "better" if (found.value > 0) != lower_is_better else "worse"


def recorded_verdict(difference: Mapping[str, Any], lower_is_better: bool = False) -> str:
    """The same of a difference as `scores.json` has it; an adjusted p decides, if known."""
    low, high = difference["ci95"]
    found = Difference(difference["value"], low, high, difference["n"], difference["p"])
    return verdict(found, difference.get("p_holm"), lower_is_better)


@dataclass(frozen=True)
class Repeats:
    """The same training under n seeds: mean, standard deviation, and the 95 % interval of the mean by Student's t.

    It covers what seeds change; the interval of one run covers what other items would change. Neither holds the other.
    """

    mean: float
    sd: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Collection[float]) -> Repeats:
        """Summarise two or more values; raises `MedslmError` for fewer."""
        import statistics

        from scipy.stats import t

        if (n := len(values)) < 2:
            raise MedslmError(f"the spread of {n} value(s) was asked for; give at least two runs or items")
        numbers = [float(value) for value in values]
        middle, sd = statistics.fmean(numbers), statistics.stdev(numbers)
        half = float(t.ppf(0.975, n - 1)) * sd / math.sqrt(n)
        return cls(middle, sd, middle - half, middle + half, n)


def majority(labels: Sequence[str]) -> float:
    """The score of always giving the most frequent label."""
    _refuse_empty(len(labels))
    return Counter(labels).most_common(1)[0][1] / len(labels)
