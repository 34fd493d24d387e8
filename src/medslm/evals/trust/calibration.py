"""Whether a model knows when it is right: confidence over the options of a question, against what was right.

ECE alone says little: a model that always answers `A` has a low one once its temperature fits. It is told beside its
own null (what a perfectly calibrated model of the same confidences would get), the Brier skill and the AUROC.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medslm import files
from medslm.errors import MedslmError
from medslm.evals import statistics
from medslm.evals.statistics import Difference, Estimate
from medslm.evals.trust.answers import Answers

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

BINS = 15
"""Of equal mass, as in arXiv:1706.04599 with the bins of arXiv:1904.01685."""

COVERAGE = 0.8


def ece(confidence: Array, correct: Array, bins: int = BINS) -> float:
    """Expected calibration error: mean over items of |share right - mean confidence| of their bin of equal mass.

    Items of one confidence share their mean of `correct` first: the order of the items does not matter, and a model of
    a single confidence gets |accuracy - confidence| exactly. Biased upwards for few items: see `ece_null`.
    """
    if bins < 1:
        raise MedslmError(f"{bins} bins were asked for; ask for at least one")
    return _ece(*_ranked(confidence, correct), bins)


def _ece(confidence: Array, correct: Array, bins: int) -> float:
    """The same of ranked items; the first bins get what is left over, as with `numpy.array_split`."""
    import numpy

    size, more = divmod(len(correct), bins)
    edges = numpy.cumsum([0, *([size + 1] * more), *([size] * (bins - more))])
    total = numpy.concatenate([[0.0], numpy.cumsum(correct - confidence)])
    return float(numpy.abs(numpy.diff(total[edges])).sum() / len(correct))


def ece_null(confidence: Array, bins: int = BINS, draws: int = 400, seed: int = 0) -> tuple[float, float]:
    """Mean and 95th percentile of the ECE of a perfectly calibrated model with these confidences (N,)."""
    import numpy

    order = numpy.random.default_rng(seed)
    values, group, count = numpy.unique(-confidence, return_inverse=True, return_counts=True)
    ranked: Array = -numpy.repeat(values, count)
    drawn: list[float] = []
    for _ in range(draws):
        hits = numpy.bincount(group, weights=order.random(len(confidence)) < confidence)
        drawn.append(_ece(ranked, numpy.repeat(hits / count, count), bins))
    return float(numpy.mean(drawn)), float(numpy.quantile(drawn, 0.95))


def _ranked(confidence: Array, correct: Array) -> tuple[Array, Array]:
    """Both sorted by falling confidence, with `correct` averaged over items of equal confidence."""
    import numpy

    values, group = numpy.unique(-numpy.asarray(confidence), return_inverse=True)
    count = numpy.bincount(group)
    mean = numpy.bincount(group, weights=correct) / count
    return -numpy.repeat(values, count), numpy.repeat(mean, count)


def brier(answers: Answers) -> Array:
    """(N,) squared distance of the probabilities from the key, 0 to 2 (Brier 1950); 1 - 1/k for k equal options."""
    import numpy

    aim = numpy.eye(answers.logliks.shape[1])[answers.right]
    squares: Array = ((answers.probabilities - aim) ** 2).sum(axis=1)
    return squares


def brier_skill(answers: Answers, seed: int = 0) -> Estimate:
    """1 - Brier score / Brier score of equal probabilities: 1 perfect, 0 no better than drawing lots, negative worse.

    Raises `MedslmError` for questions of a single option and for fewer than two questions.
    """
    import numpy

    lots = 1 - 1 / numpy.isfinite(answers.logliks).sum(axis=1)
    if not lots.all():
        item = answers.ids[int(lots.argmin())]
        raise MedslmError(f"item {item} has a single option, so that there is nothing to know; give each at least two")
    return statistics.bootstrap(lambda of, chance: 1 - of.mean() / chance.mean(), brier(answers), lots, seed=seed)


def nll(answers: Answers) -> Array:
    """(N,) -log probability of the right option, in nats."""
    import scipy.special

    rows = scipy.special.log_softmax(answers.logliks, axis=1)
    losses: Array = -rows[range(answers.n), answers.right]
    return losses


def auroc(confidence: Array, correct: Array) -> Estimate | None:
    """How often a right answer is more confident than a wrong one, ties half; none without two of both.

    Interval of DeLong et al. 1988 (doi:10.2307/2531595), cut at 0 and 1. Where all pairs agree it would have no width, and
    is Wilson's of as many items as the smaller kind has: no AUC varies more than a share of these does (Birnbaum and Klose
    1957, Annals of Mathematical Statistics 28:933-945).
    """
    import numpy
    from scipy.stats import rankdata

    scores, is_right = numpy.asarray(confidence), numpy.asarray(correct) > 0
    right, wrong = int(is_right.sum()), int((~is_right).sum())
    if min(right, wrong) < 2:
        return None
    ranks = rankdata(scores)
    above = (ranks[is_right] - rankdata(scores[is_right])) / wrong  # of each right one: wrong ones below it
    below = 1 - (ranks[~is_right] - rankdata(scores[~is_right])) / right
    value = float(above.mean())
    if value in (0, 1):
        return Estimate(value, *statistics.wilson(value * min(right, wrong), min(right, wrong)), right + wrong)
    half = statistics.Z * math.sqrt(above.var(ddof=1) / right + below.var(ddof=1) / wrong)
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), right + wrong)


def risk_coverage(confidence: Array, correct: Array) -> tuple[Array, Array]:
    """Share answered (N,) and share wrong among these (N,), when the k most confident are answered, k = 1 to N.

    El-Yaniv and Wiener 2010, JMLR 11:1605-1641. Ties are answered in random order: the expected curve.
    """
    import numpy

    _, ranked = _ranked(confidence, correct)
    return numpy.arange(1, len(ranked) + 1) / len(ranked), _risk(ranked)


def _risk(ranked: Array) -> Array:
    """Share wrong among the first k ranked items, k = 1 to N."""
    import numpy

    risk: Array = numpy.cumsum(1 - ranked) / numpy.arange(1, len(ranked) + 1)
    return risk


def aurc(confidence: Array, correct: Array) -> float:
    """Area under the risk-coverage curve: mean risk over all coverages (arXiv:1805.08206); 0 is perfect."""
    return float(risk_coverage(confidence, correct)[1].mean())


def accuracy_at(confidence: Array, correct: Array, coverage: float = COVERAGE) -> float:
    """Share right among the most confident ceil(coverage x N) items. Raises `MedslmError` unless 0 < coverage <= 1."""
    if not 0 < coverage <= 1:
        raise MedslmError(f"accuracy at a coverage of {coverage} was asked for; ask for a share above 0, at most 1")
    return float(1 - risk_coverage(confidence, correct)[1][_answered(len(correct), coverage) - 1])


def _answered(n: int, coverage: float) -> int:
    return math.ceil(round(coverage * n, 9))


def _drawn(confidence: Array, correct: Array, bins: int, seed: int, draws: int = 1000) -> list[Estimate]:
    """ECE, AURC and accuracy at `COVERAGE` with percentile bootstrap intervals, from the same draws of the items.

    Where all of the answered items are right, or all wrong, the last two would have intervals without width, and get
    Wilson's.
    """
    import numpy

    def summary(confidence: Array, correct: Array) -> tuple[float, float, float]:
        ranked = _ranked(confidence, correct)
        risk = _risk(ranked[1])
        return _ece(*ranked, bins), float(risk.mean()), float(1 - risk[_answered(n, COVERAGE) - 1])

    n, order = len(correct), numpy.random.default_rng(seed)
    places = (order.integers(n, size=n) for _ in range(draws))
    low, high = numpy.quantile([summary(confidence[some], correct[some]) for some in places], [0.025, 0.975], axis=0)
    whole = summary(confidence, correct)
    found = [Estimate(value, float(low[place]), float(high[place]), n) for place, value in enumerate(whole)]
    return [found[0], *(_with_width(of, some) for of, some in zip(found[1:], (n, _answered(n, COVERAGE))))]


def _with_width(of: Estimate, n: int) -> Estimate:
    """A share of `n` items with an interval that tells how few they are, if its own has no width."""
    return Estimate(of.value, *statistics.wilson(of.value * n, n), of.n) if of.low == of.high else of


def judge(answers: Answers, bins: int = BINS, seed: int = 0) -> dict[str, Any]:
    """Every measure of this module as JSON for `scores.json`, each with n and a 95 % interval.

    The interval of the ECE says how it varies with the items, bias included; whether it differs from a perfect model's
    is told by `null`. `auroc` is null where it is not defined. Raises `MedslmError` for fewer than two items.
    """
    confidence, correct = answers.confidence, answers.correct
    null = ece_null(confidence, bins, seed=seed)
    ranking = auroc(confidence, correct)

    of_ece, of_aurc, of_part = (one.as_json() for one in _drawn(confidence, correct, bins, seed))
    return {
        "n": answers.n,
        "accuracy": statistics.share(int(correct.sum()), answers.n).as_json(),
        "confidence": statistics.average(confidence, 0, 1).as_json(),
        "ece": {**of_ece, "bins": bins, "null": {"mean": null[0], "p95": null[1]}},
        "brier": statistics.average(brier(answers), 0, 2).as_json(),
        "brier_skill": brier_skill(answers, seed).as_json(),
        "nll": statistics.average(nll(answers), 0).as_json(),
        "auroc": ranking and ranking.as_json(),
        "aurc": of_aurc,
        f"accuracy_at_{COVERAGE:.0%}_coverage": of_part,
    }


def auroc_difference(base: Answers, adapter: Answers, resamples: int = 1000, seed: int = 0) -> Difference | None:
    """The adapter's AUROC of confidence less the base's on the same items; none where either is not defined.

    A bootstrap of the items, both sides drawn together: DeLong's paired test does not apply, since each side has its own
    right answers. Draws in which a side is right or wrong throughout are drawn again. p is twice the smaller share of draws
    on one side of 0 (Efron and Tibshirani 1993, 15.4), never below 2 / (resamples + 1). Raises `MedslmError` for other
    items or another order.
    """
    import numpy

    if base.ids != adapter.ids:
        raise MedslmError("an AUROC was to be compared over unlike items; judge both sides on the same ones")
    of_base, of_adapter = (base.confidence, base.correct), (adapter.confidence, adapter.correct)
    if auroc(*of_base) is None or auroc(*of_adapter) is None:
        return None
    order = numpy.random.default_rng(seed)
    drawn: list[float] = []
    while len(drawn) < resamples:
        places = order.integers(base.n, size=base.n)
        pair = [_area(*(column[places] for column in side)) for side in (of_base, of_adapter)]
        if pair[0] is not None and pair[1] is not None:
            drawn.append(pair[1] - pair[0])
    value = float(_area(*of_adapter) or 0.0) - float(_area(*of_base) or 0.0)
    low, high = (float(numpy.quantile(drawn, share)) for share in (0.025, 0.975))
    tail = min(sum(one <= 0 for one in drawn), sum(one >= 0 for one in drawn))
    return Difference(value, low, high, base.n, min(1.0, 2 * (tail + 1) / (resamples + 1)))


def _area(confidence: Array, correct: Array) -> float | None:
    """The AUROC alone, by rank sums."""
    from scipy.stats import rankdata

    right = correct > 0
    hits, misses = int(right.sum()), int((~right).sum())
    if not hits or not misses:
        return None
    return float((rankdata(confidence)[right].sum() - hits * (hits + 1) / 2) / (hits * misses))


def plot(answers: Mapping[str, Answers], path: Path, bins: int = BINS) -> None:
    """Write a PNG for models by name: share right over confidence with 95 % intervals, and risk over coverage."""
    import numpy
    from matplotlib.figure import Figure  # without pyplot: no display and no global state

    figure = Figure(figsize=(9, 4), dpi=144, layout="constrained")
    reliability, selective = figure.subplots(1, 2)
    reliability.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
    for name, of in answers.items():
        ranked = numpy.stack(_ranked(of.confidence, of.correct))  # (2, N)
        parts = [part for part in numpy.array_split(ranked, bins, axis=1) if part.size]
        x, y = numpy.array([part.mean(axis=1) for part in parts]).T
        ends = [statistics.wilson(part[1].sum(), part.shape[1]) for part in parts]
        spread = numpy.abs(numpy.transpose(ends) - y)
        reliability.errorbar(x, y, yerr=spread, marker="o", markersize=4, linewidth=1.5, label=f"{name} (n = {of.n:,})")
        selective.plot(*risk_coverage(of.confidence, of.correct), linewidth=1.5)
    reliability.set(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1))
    selective.set(xlabel="share answered, most confident first", ylabel="share wrong", xlim=(0, 1), ylim=(0, None))
    for axes in (reliability, selective):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    reliability.legend(frameon=False)
    with files.beside(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
