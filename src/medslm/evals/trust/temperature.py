"""One number that mends a model's confidence: its log-likelihoods are divided by a temperature, fitted on other items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medslm.evals import statistics
from medslm.evals.trust.answers import Answers, refuse_seen
from medslm.evals.trust.calibration import BINS, brier, ece, ece_null, nll

TEMPERATURES = (0.01, 100.0)
"""Bounds of the fit; a model that is right (or empty of knowledge) throughout would be scaled without end."""
RESAMPLES = 1000


@dataclass(frozen=True)
class Temperature:
    """What the log-likelihoods are divided by, and the questions that chose it, which it can never be judged on."""

    value: float
    n: int
    nll: float
    """Nats per validation item after scaling."""
    nll_before: float
    at_bound: bool
    """The fit ran into a bound: the model is right throughout, or knows nothing."""
    fitted_on: frozenset[str]

    def scale(self, test: Answers) -> Answers:
        """The test answers at this temperature; raises `MedslmError` if one of them was fitted on."""
        refuse_seen(self.fitted_on, test, "the temperature was fitted")
        return Answers(test.ids, test.logliks / self.value, test.right)


def crossed(answers: Answers) -> list[tuple[Temperature, Answers]]:
    """Two halves of the items, each with the temperature that the other one chose."""
    one, other = answers.halves()
    return [(fit(other), one), (fit(one), other)]


def fit(validation: Answers) -> Temperature:
    """The temperature of least negative log-likelihood on validation items (Guo et al. 2017, arXiv:1706.04599)."""
    import scipy.optimize

    def loss(log_temperature: float) -> float:
        scaled = Answers(validation.ids, validation.logliks / math.exp(log_temperature), validation.right)
        return float(nll(scaled).mean())

    low, high = map(math.log, TEMPERATURES)
    found = scipy.optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    at_bound = min(loss(low), loss(high)) < found.fun + 1e-9  # it flattens before the bound where nothing is left
    return Temperature(math.exp(found.x), validation.n, float(found.fun), loss(0), at_bound, frozenset(validation.ids))


def judge_scaled(parts: Sequence[tuple[Temperature, Answers]], bins: int = BINS, seed: int = 0) -> dict[str, Any]:
    """What is left of miscalibration at temperatures that the items did not choose, over all parts, as JSON."""
    import numpy

    scaled = [temperature.scale(part) for temperature, part in parts]
    confidence, correct = (
        numpy.concatenate([getattr(of, name) for of in scaled]) for name in ("confidence", "correct")
    )
    null = ece_null(confidence, bins, seed=seed)
    found = statistics.bootstrap(lambda c, r: ece(c, r, bins), confidence, correct, resamples=RESAMPLES, seed=seed)
    return {
        "value": [temperature.value for temperature, _ in parts],
        "fitted_n": [temperature.n for temperature, _ in parts],
        "at_bound": any(temperature.at_bound for temperature, _ in parts),
        "n": len(correct),
        "ece": {**found.as_json(), "bins": bins, "null": {"mean": null[0], "p95": null[1]}},
        "brier": statistics.average(numpy.concatenate([brier(of) for of in scaled]), 0, 2).as_json(),
        "nll": statistics.average(numpy.concatenate([nll(of) for of in scaled]), 0).as_json(),
    }
