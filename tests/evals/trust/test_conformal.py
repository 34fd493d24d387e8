"""Answer sets: the promised coverage where it holds, and its loss where it does not."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.answering import guesser, predictor
from medslm.errors import MedslmError
from medslm.evals.trust import conformal
from medslm.evals.trust.answers import Answers
from medslm.evals.trust.conformal import Method, calibrate

METHODS: tuple[Method, ...] = ("lac", "aps")


def shares(prefix: str, rows: list[list[float]], right: list[int]) -> Answers:
    ids = [f"{prefix}{place}" for place in range(len(rows))]
    return Answers.of(ids, [[math.log(share) for share in row] for row in rows], right)


def test_the_threshold_by_hand() -> None:
    keys = [place / 20 for place in range(1, 20)]  # probability of the right option: 0.05 to 0.95
    rule = calibrate(shares("v", [[share, 1 - share] for share in keys], [0] * 19))
    assert rule.rank == 18 and rule.threshold == pytest.approx(0.9)  # ceil(20 x 0.9), without the float's rounding up
    test = shares("t", [[0.5, 0.5], [0.91, 0.09], [0.89, 0.11]], [0, 0, 0])
    assert rule.sets(test).tolist() == [[True, True], [True, False], [True, True]]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sharpness", [1.0, 4.0])
def test_coverage_holds_for_exchangeable_items_however_over_confident_the_model(
    method: Method, sharpness: float
) -> None:
    whole, n, covered = predictor(6000, sharpness, seed=5), 60, 0
    for start in range(0, 6000, 2 * n):
        parts = [slice(start, start + n), slice(start + n, start + 2 * n)]
        validation, test = (Answers(whole.ids[part], whole.logliks[part], whole.right[part]) for part in parts)
        covered += int(calibrate(validation, method).sets(test)[range(n), test.right].sum())
    # expected rank / (n + 1) = 55 / 61 = 0.9016 over 50 splits of 60; standard error of their mean 0.0077
    assert covered / 3000 == pytest.approx(55 / 61, abs=3 * 0.0077)


@pytest.mark.parametrize("method", METHODS)
def test_halves_that_calibrate_each_other_are_both_covered(method: Method) -> None:
    covered, promised = numpy.zeros(2), 0
    for seed in range(40):
        parts = conformal.crossed(guesser(400, seed=seed, prefix=f"{seed}-"), method)
        covered += [rule.sets(half)[range(half.n), half.right].mean() / 40 for rule, half in parts]
        promised += conformal.judge_crossed(parts)["as_promised"]
    assert covered.tolist() == pytest.approx([181 / 201, 181 / 201], abs=0.015)  # 40 halves: standard error 0.0047
    assert promised >= 34  # 38 of 40 expected


def test_the_range_of_chance_is_met_by_nineteen_splits_in_twenty() -> None:
    whole, inside = predictor(40_000, seed=6), 0
    for start in range(0, 40_000, 200):
        parts = [slice(start, start + 100), slice(start + 100, start + 200)]
        validation, test = (Answers(whole.ids[part], whole.logliks[part], whole.right[part]) for part in parts)
        inside += conformal.judge(calibrate(validation), test)["as_promised"]
    assert 0.91 <= inside / 200 <= 0.995


@pytest.mark.parametrize("method", METHODS)
def test_a_shift_breaks_coverage_and_is_told(method: Method) -> None:
    rule = calibrate(predictor(1000, seed=1, prefix="v"), method)
    kept = conformal.judge(rule, predictor(1000, seed=2, prefix="t"))
    broken = conformal.judge(rule, guesser(1000, seed=2, prefix="t"))
    assert kept["as_promised"] and kept["coverage"]["value"] == pytest.approx(0.9, abs=0.03)
    assert not broken["as_promised"] and broken["coverage"]["value"] < 0.8 and broken["coverage"]["n"] == 1000


def test_a_model_that_knows_nothing_keeps_its_promise_with_large_sets() -> None:
    rule = calibrate(guesser(1000, seed=1, prefix="v"))
    told = conformal.judge(rule, guesser(1000, seed=2, prefix="t"))
    knowing = conformal.judge(calibrate(predictor(1000, seed=1, prefix="v")), predictor(1000, seed=2, prefix="t"))
    assert told["as_promised"] and knowing["as_promised"]
    assert told["set_size"]["ci95"][0] > 3 > knowing["set_size"]["ci95"][1]
    assert sum(told["sizes"].values()) == 1000


def test_a_subgroup_without_coverage_shows_though_the_whole_looks_well() -> None:
    rule = calibrate(predictor(1000, seed=1, prefix="v"))
    many, few = predictor(1900, seed=2, prefix="t"), guesser(60, seed=3, prefix="g")
    test = Answers((*many.ids, *few.ids), numpy.vstack([many.logliks, few.logliks]), numpy.r_[many.right, few.right])
    told = conformal.judge(rule, test, ["cardiology"] * 1900 + ["dermatology"] * 60)
    assert told["coverage"]["value"] > 0.87
    assert told["groups"]["cardiology"]["as_promised"] and not told["groups"]["dermatology"]["as_promised"]
    assert [of["coverage"]["n"] for of in told["groups"].values()] == [1900, 60]


@settings(deadline=None, max_examples=40)
@given(st.randoms(use_true_random=False), st.sampled_from(METHODS))
def test_a_set_depends_on_its_question_alone(random: object, method: Method) -> None:
    rule = calibrate(predictor(100, seed=1, prefix="v"), method)
    test, order, letters = predictor(30, seed=2, prefix="t"), list(range(30)), list(range(4))
    random.shuffle(order), random.shuffle(letters)  # type: ignore[attr-defined]
    moved = Answers(tuple(test.ids[i] for i in order), test.logliks[order][:, letters], test.right[order])
    assert (rule.sets(moved) == rule.sets(test)[order][:, letters]).all()


def test_an_option_that_a_question_lacks_is_in_no_set() -> None:
    knows_nothing = Answers.of([f"v{i}" for i in range(20)], [[-40.0, 0.0]] * 20, [0] * 20)
    rule = calibrate(knows_nothing)
    assert rule.sets(Answers.of(["a", "b"], [[0.0, 0.0], [0.0] * 4], [0, 0])).sum(axis=1).tolist() == [2, 4]


def test_items_that_were_calibrated_on_cannot_be_judged() -> None:
    validation = predictor(20)
    with pytest.raises(MedslmError, match="the sets were calibrated on 20 of the 20 items to be judged"):
        conformal.judge(calibrate(validation), validation)


def test_too_few_items_wrong_methods_and_odd_groups_are_refused() -> None:
    with pytest.raises(MedslmError, match=r"in 90% of cases were to be calibrated on 9 items; at least 10"):
        calibrate(predictor(9))
    assert calibrate(predictor(10)).rank == 10
    with pytest.raises(MedslmError, match="methods are lac and aps"):
        calibrate(predictor(20), "raps")  # type: ignore[arg-type]
    with pytest.raises(MedslmError, match="alpha lies between 0 and 1"):
        calibrate(predictor(20), alpha=1)
    with pytest.raises(MedslmError, match="1 groups were given for 5 items"):
        conformal.judge(calibrate(predictor(20, prefix="v")), predictor(5), ["all"])
