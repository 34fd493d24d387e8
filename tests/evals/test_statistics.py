"""Intervals and tests, against published values and scipy."""

from __future__ import annotations

import random

import pytest
from scipy.stats import binomtest

from medslm.errors import MedslmError
from medslm.evals import statistics
from medslm.evals.statistics import Pairs


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


def test_the_standard_error_of_a_half_in_a_hundred_is_five_percent() -> None:
    assert statistics.standard_error(50, 100) == pytest.approx(0.05)
    assert statistics.standard_error(100, 100) == 0


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
