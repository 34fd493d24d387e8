"""Answer sets that hold the right option nine times in ten: split conformal prediction over multiple-choice options.

The promise is marginal: over questions drawn like the calibration ones, and over draws of the calibration items
themselves. It is kept by large sets as well as by small ones, and not by each subgroup: coverage is told beside the size
of the sets, by group, and beside the range that chance leaves it. Vovk et al. 2005; for questions: arXiv:2305.18404.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, get_args

from medslm.data.example import digest
from medslm.errors import MedslmError
from medslm.evals import statistics
from medslm.evals.trust.answers import Answers, refuse_seen

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

ALPHA = 0.1
Method = Literal["lac", "aps"]
"""`lac`: options above one probability, the smallest sets (Sadinle et al. 2019, arXiv:1609.00451). `aps`: the likeliest
options up to one probability mass, larger sets for hard questions (Romano et al. 2020, arXiv:2006.02544)."""


@dataclass(frozen=True)
class Rule:
    """Which options belong to an answer set, and the questions that chose it, which it can never be judged on."""

    method: Method
    alpha: float
    """Share of sets that may miss the right option."""
    threshold: float
    """Largest score of an option in a set."""
    n: int
    """Calibration items."""
    rank: int
    """The threshold is the rank-th smallest of their n scores."""
    calibrated_on: frozenset[str]

    def sets(self, test: Answers) -> Array:
        """(N, K) bool: the options of each set. Raises `MedslmError` if an item of the test was calibrated on."""
        import numpy

        refuse_seen(self.calibrated_on, test, "the sets were calibrated")
        held: Array = (_scores(test, self.method) <= self.threshold) & numpy.isfinite(test.logliks)
        return held

    def chance(self, n: int) -> tuple[float, float]:
        """Range of the coverage measured on n exchangeable items in 95 of 100 pairs of calibration and test.

        Beta-binomial with rank and n + 1 - rank (arXiv:2107.07511, appendix C), for scores without ties.
        """
        from scipy.stats import betabinom

        law = betabinom(n, self.rank, self.n + 1 - self.rank)
        return float(law.ppf(0.025)) / n, float(law.ppf(0.975)) / n


def calibrate(validation: Answers, method: Method = "lac", alpha: float = ALPHA) -> Rule:
    """The threshold that 1 - alpha of the right options of validation items pass, with the correction for their number.

    Raises `MedslmError` for an unknown method, an alpha outside 0 to 1, and fewer than ceil(1 / alpha) items.
    """
    import numpy

    if method not in get_args(Method) or not 0 < alpha < 1:
        raise MedslmError(
            f"answer sets by '{method}' with alpha {alpha} were asked for; methods are {' and '.join(get_args(Method))}, "
            "alpha lies between 0 and 1"
        )
    miss = Fraction(str(alpha))  # 0.1 exactly: in floats 11 x 0.9 can be above 9.9
    if validation.n < (fewest := math.ceil(1 / miss)):
        raise MedslmError(
            f"sets that hold the right option in {1 - alpha:.0%} of cases were to be calibrated on {validation.n} items; "
            f"at least {fewest} are needed for any threshold, and 500 for a coverage within 3 points"
        )
    of_key = numpy.sort(_scores(validation, method)[range(validation.n), validation.right])
    rank = math.ceil((validation.n + 1) * (1 - miss))
    return Rule(method, alpha, float(of_key[rank - 1]), validation.n, rank, frozenset(validation.ids))


def _scores(answers: Answers, method: Method) -> Array:
    """(N, K): how little each option conforms, 0 to 1."""
    import numpy

    p = answers.probabilities
    if method == "lac":
        return 1 - p
    above = (p[:, None, :] * (p[:, None, :] > p[:, :, None])).sum(
        axis=2
    )  # mass of likelier options: (N, K, K) -> (N, K)
    # drawn by the item's id, so that the order and the company of items change no set; and apart from the draw by which
    # `Answers.halves` parts the items, or all of one half would have low lots and all of the other high ones
    lot = numpy.array([digest(f"lot {name}") / 2**64 for name in answers.ids])[:, None]
    scores: Array = above + lot * p
    return scores


def judge(rule: Rule, test: Answers, groups: Sequence[str] | None = None) -> dict[str, Any]:
    """Measured coverage and set size with n and 95 % intervals as JSON, and both by group (one label per item).

    `as_promised` is false where coverage leaves `chance`: the test items are not drawn like the calibration ones (shift),
    or scores tie (then it lies above). Raises `MedslmError` as `Rule.sets` does, and for groups of another number.
    """
    sets = rule.sets(test)
    fixed = {"method": rule.method, "alpha": rule.alpha, "calibration_n": rule.n, "threshold": rule.threshold}
    return fixed | _judged(sets, test.right, groups, lambda places: rule.chance(len(places)))


def crossed(answers: Answers, method: Method = "lac", alpha: float = ALPHA) -> list[tuple[Rule, Answers]]:
    """Two halves of the items, each with the rule that the other chose: every item is judged once, never by its own.

    Raises `MedslmError` as `calibrate` does for the smaller half.
    """
    one, other = answers.halves()
    return [(calibrate(other, method, alpha), one), (calibrate(one, method, alpha), other)]


def judge_crossed(parts: Sequence[tuple[Rule, Answers]], groups: Mapping[str, str] | None = None) -> dict[str, Any]:
    """As `judge`, over both halves of `crossed`; `groups` is item -> label.

    `chance` is simulated on scores without ties, since halves that calibrate each other are not independent.
    Raises `MedslmError` for parts that share an item, and for an item without a group.
    """
    import numpy

    ids = [name for _, half in parts for name in half.ids]
    if len(set(ids)) < len(ids) or (groups is not None and not groups.keys() >= set(ids)):
        raise MedslmError(
            f"{len(ids)} items were to be judged once each and by group; give each one part and one group"
        )
    sets = numpy.vstack([rule.sets(half) for rule, half in parts])
    right = numpy.concatenate([half.right for _, half in parts])
    drawn = _by_chance([half.n for _, half in parts], [rule.rank for rule, _ in parts])
    rules = [rule for rule, _ in parts]
    fixed = {
        "method": rules[0].method,
        "alpha": rules[0].alpha,
        "calibration_n": [rule.n for rule in rules],
        "threshold": [rule.threshold for rule in rules],
    }

    def chance(places: Array) -> tuple[float, float]:
        low, high = numpy.quantile(drawn[:, places].mean(axis=1), [0.025, 0.975])
        return float(low), float(high)

    return fixed | _judged(sets, right, None if groups is None else [groups[name] for name in ids], chance)


def _by_chance(sizes: Sequence[int], ranks: Sequence[int], draws: int = 1000, seed: int = 0) -> Array:
    """(draws, N) bool: which items two halves of exchangeable scores cover, each by the rank-th score of the other."""
    import numpy

    scores = numpy.random.default_rng(seed).random((draws, sum(sizes)))
    one, other = scores[:, : sizes[0]], scores[:, sizes[0] :]
    above = numpy.sort(other, axis=1)[:, ranks[0] - 1, None]
    below = numpy.sort(one, axis=1)[:, ranks[1] - 1, None]
    held: Array = numpy.hstack([one <= above, other <= below])
    return held


def _judged(
    sets: Array, right: Array, groups: Sequence[str] | None, chance: Callable[[Array], tuple[float, float]]
) -> dict[str, Any]:
    """Coverage and size of `sets` (N, K), as a whole and by group; `chance` gives the range left to some items."""
    import numpy

    n = len(right)
    if groups is not None and len(groups) != n:
        raise MedslmError(f"{len(groups)} groups were given for {n} items; give one per item")
    held, sizes = sets[range(n), right], sets.sum(axis=1)

    def of(places: Array) -> dict[str, Any]:
        return _measured(chance(places), held[places], sizes[places], sets.shape[1])

    counted = {str(size): int((sizes == size).sum()) for size in range(sets.shape[1] + 1)}
    told = {"n": n, **of(numpy.arange(n)), "sizes": counted}
    if groups is not None:
        labels = numpy.asarray(groups)
        told["groups"] = {str(label): of(numpy.flatnonzero(labels == label)) for label in sorted(set(groups))}
    return told


def _measured(chance: tuple[float, float], held: Array, sizes: Array, largest: int) -> dict[str, Any]:
    n, covered, (low, high) = len(held), int(held.sum()), chance
    size = (
        statistics.average(sizes, 0, largest).as_json() if n > 1 else {"value": float(sizes[0]), "ci95": None, "n": n}
    )
    return {
        "coverage": statistics.share(covered, n).as_json(),
        "chance": [low, high],
        "as_promised": bool(low - 1e-9 <= covered / n <= high + 1e-9),
        "set_size": size,
    }
