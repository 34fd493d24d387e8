"""Intervals and tests, against published values and scipy."""

from __future__ import annotations

import math
import random

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_1samp

from medslm.errors import MedslmError
from medslm.evals import statistics
from medslm.evals.statistics import Difference, Pairs


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_values_of_newcombe_1998_table_1(right: int, n: int, low: float, high: float) -> None:
    # method 3 in Statistics in Medicine 17:857-872
    assert statistics.wilson(right, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (7, 9), (310, 619), (619, 619)])
def test_wilson_agrees_with_scipy(right: int, n: int) -> None:
    theirs = binomtest(right, n).proportion_ci(method="wilson")
    assert statistics.wilson(right, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize("n", [1, 6, 29, 553, 1273])
def test_an_interval_begins_at_nothing_and_ends_at_everything_exactly(n: int) -> None:
    assert statistics.wilson(0, n)[0] == 0 and statistics.wilson(n, n)[1] == 1


def test_a_paired_example_from_the_literature() -> None:
    # airway hyper-responsiveness before and after transplantation, 1/1/7/12: Fagerland, Lydersen, Laake 2014,
    # Statistics in Medicine 33:2850-2875: exact conditional test 0.070, square-and-add interval -0.507 to -0.026
    pairs = Pairs(both=1, adapter_only=1, base_only=7, neither=12)
    assert pairs.difference == pytest.approx(-6 / 21)
    assert pairs.p_mcnemar == pytest.approx(18 / 256)
    assert pairs.interval == pytest.approx((-0.507, -0.026), abs=5e-4)


def test_mcnemar_by_hand() -> None:
    assert Pairs(10, 5, 0, 10).p_mcnemar == pytest.approx(2 / 2**5)
    assert Pairs(10, 3, 1, 10).p_mcnemar == pytest.approx(2 * (1 + 4) / 2**4)


def test_models_that_agree_everywhere_do_not_differ() -> None:
    pairs = Pairs.of([1, 0, 1, 0], [1, 0, 1, 0])
    assert (pairs.difference, pairs.p_mcnemar) == (0, 1)
    assert pairs.interval[0] < 0 < pairs.interval[1]


def test_all_right_against_all_wrong_stays_within_minus_one_and_one() -> None:
    low, high = Pairs.of([0] * 30, [1] * 30).interval
    assert 0.6 < low < 1 and high == pytest.approx(1)


def test_swapping_the_models_mirrors_the_interval() -> None:
    one, other = Pairs(20, 12, 2, 16), Pairs(20, 2, 12, 16)
    assert one.interval == pytest.approx(tuple(-bound for bound in reversed(other.interval)))


def test_the_interval_is_near_a_paired_bootstrap_where_both_hold() -> None:
    order = random.Random(0)
    outcomes = [(1, 1)] * 200 + [(0, 1)] * 90 + [(1, 0)] * 50 + [(0, 0)] * 260
    draws = sorted(sum(a - b for b, a in order.choices(outcomes, k=600)) / 600 for _ in range(1000))
    interval = Pairs.of(*map(list, zip(*outcomes))).interval
    assert interval == pytest.approx((draws[25], draws[974]), abs=0.006)


def test_a_planted_better_model_is_found_and_a_planted_equal_one_is_not() -> None:
    order = random.Random(1)
    base = [int(order.random() < 0.4) for _ in range(619)]
    better = [int(right or order.random() < 0.2) for right in base]
    equal = [int(order.random() < 0.4) for _ in range(619)]
    found, not_found = Pairs.of(base, better), Pairs.of(base, equal)
    assert found.p_mcnemar < 1e-6 and found.interval[0] > 0
    assert not_found.p_mcnemar > 0.05 and not_found.interval[0] < 0 < not_found.interval[1]


def test_no_items_or_unlike_numbers_of_items_are_refused() -> None:
    with pytest.raises(MedslmError, match="at least one item"):
        Pairs.of([], [])
    with pytest.raises(MedslmError, match="the base answered 1 items and the adapter 2"):
        Pairs.of([1], [1, 0])
    with pytest.raises(MedslmError, match="0 items"):
        statistics.wilson(0, 0)
    with pytest.raises(MedslmError, match="0 items"):
        statistics.majority([])


def test_the_majority_baseline_is_the_share_of_the_commonest_label() -> None:
    assert statistics.majority(["a", "b", "b", "c"]) == 0.5


def test_holm_gives_the_values_of_r() -> None:
    # p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") in R 4
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([]) == []
    assert statistics.holm([0.6, 0.7]) == [1, 1]
    with pytest.raises(MedslmError, match=r"1\.2 is no p-value"):
        statistics.holm([0.1, 1.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_holm_lies_between_no_correction_and_bonferroni_in_any_order(ps: list[float], order: random.Random) -> None:
    adjusted = statistics.holm(ps)
    assert all(p <= one <= min(1, len(ps) * p) for p, one in zip(ps, adjusted))
    places = order.sample(range(len(ps)), len(ps))
    assert statistics.holm([ps[place] for place in places]) == [adjusted[place] for place in places]


def test_holm_keeps_false_alarms_of_a_family_at_one_in_twenty() -> None:
    draws = numpy.random.default_rng(0).random((2000, 10))
    alarms = sum(min(statistics.holm(ps)) < 0.05 for ps in draws.tolist())
    raw = sum(min(ps) < 0.05 for ps in draws.tolist())
    assert 0.035 < alarms / 2000 < 0.065 and raw / 2000 > 0.35


def test_the_bootstrap_of_a_mean_agrees_with_the_analytic_interval() -> None:
    values = numpy.random.default_rng(0).normal(3, 2, 400)
    found = statistics.bootstrap(numpy.mean, values)
    half = statistics.Z * values.std(ddof=1) / math.sqrt(400)
    assert (found.value, found.n) == (pytest.approx(values.mean()), 400)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.025)


def test_the_bootstrap_draws_columns_together() -> None:
    values = numpy.random.default_rng(1).normal(0, 10, 50)
    found = statistics.bootstrap(lambda old, new: (new - old).mean(), values, values + 1)
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))


def test_a_bootstrap_is_the_same_twice_and_refuses_what_cannot_be_drawn() -> None:
    values = numpy.random.default_rng(3).random(20).tolist()
    assert statistics.bootstrap(numpy.mean, values) == statistics.bootstrap(numpy.mean, values)
    assert statistics.bootstrap(numpy.mean, values) != statistics.bootstrap(numpy.mean, values, seed=1)
    with pytest.raises(MedslmError, match="columns of 20, 19 items"):
        statistics.bootstrap(numpy.mean, values, values[1:])
    with pytest.raises(MedslmError, match="columns of 1 items"):
        statistics.bootstrap(numpy.mean, [0.5])


def test_a_difference_of_shares_is_newcombes_with_mcnemars_p() -> None:
    found = statistics.difference([1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1, 0])
    pairs = Pairs(both=2, adapter_only=5, base_only=0, neither=1)
    assert found == Difference(5 / 8, *pairs.interval, 8, 2 / 2**5)
    assert found.as_json() == {"value": 5 / 8, "ci95": list(pairs.interval), "n": 8, "p": 2 / 2**5}


def test_a_difference_of_other_numbers_is_tested_by_flipping_signs() -> None:
    few = statistics.difference([0.1, 0.2, 0.3, 0.4, 0.5], [0.2, 0.4, 0.5, 0.9, 0.7])
    assert few.p == pytest.approx(2 / 2**5) and few.value == pytest.approx(
        0.24
    )  # all five rose: the most extreme of 32
    order = numpy.random.default_rng(2)
    old = order.random(300)
    new = old + order.normal(0.01, 0.1, 300)
    many = statistics.difference(old, new)
    assert many.p == pytest.approx(ttest_1samp(new - old, 0).pvalue, abs=0.02)
    assert many.low < many.value < many.high and many.n == 300


def test_seeds_are_summarised_with_students_t() -> None:
    found = statistics.Repeats.of([0.60, 0.62, 0.64])
    half = 4.3027 * 0.02 / math.sqrt(3)  # t with two degrees of freedom
    assert (found.mean, found.sd, found.n) == (pytest.approx(0.62), pytest.approx(0.02), 3)
    assert (found.low, found.high) == pytest.approx((0.62 - half, 0.62 + half), abs=1e-5)
    with pytest.raises(MedslmError, match=r"the spread of 1 value\(s\)"):
        statistics.Repeats.of([0.6])


def test_the_verdict_needs_both_the_adjusted_test_and_the_interval() -> None:
    clear = Difference(0.1, 0.02, 0.18, 100, 0.01)
    assert statistics.verdict(clear) == "better" and statistics.verdict(clear, lower_is_better=True) == "worse"
    assert statistics.verdict(Difference(-0.1, -0.18, -0.02, 100, 0.01)) == "worse"
    assert statistics.verdict(clear, p=0.05) == "no difference shown"
    assert statistics.verdict(Difference(0.1, -0.01, 0.2, 100, 0.01)) == "no difference shown"


def test_a_share_and_an_average_carry_their_n() -> None:
    assert statistics.share(81, 263).as_json() == {
        "value": 81 / 263,
        "ci95": [pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5)],
        "n": 263,
    }
    assert statistics.average([1.0, 2.0, 3.0]).n == 3


def test_the_interval_of_an_average_is_cut_where_no_mean_can_lie() -> None:
    whole, cut = statistics.average([0.1, 0.9, 0.95]), statistics.average([0.1, 0.9, 0.95], 0, 1)
    assert whole.low < 0 and whole.high > 1 and (cut.low, cut.value, cut.high) == (0, whole.value, 1)
