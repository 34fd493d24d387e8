"""Calibration of predictors whose answer is known: by hand, by simulation, and against scikit-learn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from evals.answering import guesser, predictor
from medslm.errors import MedslmError
from medslm.evals.trust import calibration, temperature
from medslm.evals.trust.answers import Answers
from medslm.evals.trust.calibration import accuracy_at, aurc, auroc, brier, brier_skill, ece, ece_null
from medslm.evals.trust.temperature import fit

CONFIDENCE = numpy.array([0.9, 0.8, 0.7, 0.6])
CORRECT = numpy.array([1.0, 0.0, 1.0, 0.0])


def answers(*logliks: list[float], right: list[int]) -> Answers:
    return Answers.of([f"q{place}" for place in range(len(logliks))], logliks, right)


def test_ece_by_hand() -> None:
    assert ece(numpy.array([0.9, 0.6, 0.9, 0.6]), numpy.array([1, 1, 0, 1]), bins=2) == pytest.approx(0.4)
    assert ece(CONFIDENCE, CORRECT, bins=1) == pytest.approx(0.25)
    assert ece(CONFIDENCE, CORRECT, bins=4) == pytest.approx((0.1 + 0.8 + 0.3 + 0.6) / 4)
    assert ece(CONFIDENCE, CORRECT, bins=99) == pytest.approx(
        ece(CONFIDENCE, CORRECT, bins=4)
    )  # no bin without an item counts


def test_a_model_of_one_confidence_has_the_ece_accuracy_less_confidence() -> None:
    assert ece(numpy.full(400, 0.81), numpy.arange(400) < 120) == pytest.approx(0.51)


def test_auroc_risk_and_accuracy_at_coverage_by_hand() -> None:
    found = auroc(CONFIDENCE, CORRECT)
    assert found is not None and (found.value, found.n) == (0.75, 4)
    assert calibration.risk_coverage(CONFIDENCE, CORRECT)[1] == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert aurc(CONFIDENCE, CORRECT) == pytest.approx(1 / 3)
    assert accuracy_at(CONFIDENCE, CORRECT, 0.75) == pytest.approx(2 / 3)
    assert accuracy_at(CONFIDENCE, CORRECT, 0.8) == pytest.approx(1 / 2)  # 3.2 items are 4


def test_brier_and_its_skill_by_hand() -> None:
    told = answers([math.log(0.7), math.log(0.2), math.log(0.1)], right=[0])
    assert brier(told) == pytest.approx([0.3**2 + 0.2**2 + 0.1**2])
    assert brier_skill(answers([0.0] * 4, [0.0] * 3, right=[2, 0])).value == pytest.approx(0)
    assert brier_skill(answers([0.0, -99.0], [-99.0, 0.0], right=[0, 1])).value == pytest.approx(1)
    assert brier_skill(answers([0.0, -99.0], [-99.0, 0.0], right=[1, 0])).value == pytest.approx(-3)


def test_auroc_agrees_with_scikit_learn_and_knows_when_it_is_not_defined() -> None:
    order = numpy.random.default_rng(0)
    confidence, correct = order.integers(0, 12, 500) / 12, order.random(500) < 0.4
    found = auroc(confidence, correct)
    assert found is not None and found.value == pytest.approx(roc_auc_score(correct, confidence))
    assert auroc(confidence, numpy.ones(500)) is None
    assert auroc(confidence[:5], [1, 0, 1, 1, 1]) is None


def test_a_ranking_without_a_fault_among_four_items_is_not_certain() -> None:
    found = auroc(numpy.array([0.9, 0.8, 0.3, 0.2]), [1, 1, 0, 0])
    assert found is not None and (found.value, found.high) == (1, 1) and found.low < 0.5
    many = auroc(numpy.arange(400) / 400, numpy.arange(400) >= 200)
    assert many is not None and 0.97 < many.low < 1


@pytest.mark.parametrize("n", [2, 3, 5])
def test_no_interval_of_few_items_leaves_what_its_figure_can_be(n: int) -> None:
    told = answers(*([[0.0, -9.0, -9.0, -0.5 * place] for place in range(n)]), right=[place % 4 for place in range(n)])
    found = calibration.judge(told)
    for name, most in {"confidence": 1, "brier": 2, "nll": math.inf, "ece": 1, "aurc": 1}.items():
        low, high = found[name]["ci95"]
        assert 0 <= low <= high <= most, name
    wide = temperature.judge_scaled(temperature.crossed(told))
    assert wide["brier"]["ci95"][0] >= 0 <= wide["nll"]["ci95"][0] and wide["brier"]["ci95"][1] <= 2


def test_who_is_right_or_wrong_throughout_four_items_is_not_certain_to_be_so_with_others() -> None:
    for letter, mean in ((0, 1.0), (1, 0.0)):
        told = answers(*([[0.0, -9.0, -9.0, -0.5 * place] for place in range(4)]), right=[letter] * 4)
        found = calibration.judge(told)
        of_part, of_all = found["accuracy_at_80%_coverage"], found["aurc"]
        assert of_part["value"] == mean and of_all["value"] == 1 - mean
        for one in (of_part, of_all):
            low, high = one["ci95"]
            assert low <= one["value"] <= high and high - low > 0.4


def test_the_interval_of_the_auroc_covers_the_truth_as_often_as_it_says() -> None:
    order = numpy.random.default_rng(1)
    truth = 0.5 * (1 + math.erf(1 / 2))  # two normal distributions one standard deviation apart
    correct = numpy.arange(200) < 80
    found = [auroc(order.normal(0, 1, 200) + correct, correct) for _ in range(400)]
    covered = sum(interval is not None and interval.low <= truth <= interval.high for interval in found)
    assert 0.915 <= covered / 400 <= 0.98  # binomial limits about 0.95


def test_a_perfectly_calibrated_predictor_is_not_told_from_perfect() -> None:
    told = predictor(4000)
    mean, p95 = ece_null(told.confidence)
    assert ece(told.confidence, told.correct) < p95
    assert mean < p95 < 0.05
    assert fit(told).value == pytest.approx(1, abs=0.06)


def test_a_few_items_give_a_perfect_model_an_ece_that_many_do_not() -> None:
    few, many = (ece_null(predictor(n).confidence)[0] for n in (200, 3200))
    assert few == pytest.approx(4 * many, rel=0.2)  # the bias falls with the root of n


def test_an_over_confident_predictor_is_found_and_mended_by_its_temperature() -> None:
    validation, test = predictor(3000, 3, seed=1, prefix="v"), predictor(4000, 3, seed=2)
    found = fit(validation)
    assert ece(test.confidence, test.correct) > 0.15 > ece_null(test.confidence)[1]
    assert found.value == pytest.approx(3, rel=0.06) and found.nll < found.nll_before and not found.at_bound
    mended = found.scale(test)
    assert ece(mended.confidence, mended.correct) < ece_null(mended.confidence)[1]
    assert (mended.correct == test.correct).all()  # a temperature changes no answer


def test_a_random_predictor_shows_no_skill() -> None:
    told = guesser(4000)
    found = auroc(told.confidence, told.correct)
    assert found is not None and found.low < 0.5 < found.high
    assert brier_skill(told).high < 0
    assert accuracy_at(told.confidence, told.correct) == pytest.approx(0.25, abs=0.03)
    assert aurc(told.confidence, told.correct) == pytest.approx(0.75, abs=0.04)
    assert fit(told).value > 10  # nothing is known: the best probabilities are equal ones


def test_always_the_same_letter_has_a_low_ece_after_scaling_and_still_no_skill() -> None:
    order = numpy.random.default_rng(3)

    def parrot(n: int, prefix: str) -> Answers:
        ids = [f"{prefix}{place}" for place in range(n)]
        return Answers.of(ids, numpy.tile([2.0, 0.0, 0.0, 0.0], (n, 1)), order.integers(4, size=n))

    scaled = fit(parrot(1000, "v")).scale(parrot(1000, "t"))
    assert ece(scaled.confidence, scaled.correct) < 0.04
    skill = brier_skill(scaled)
    assert skill.value == pytest.approx(0, abs=0.02)
    found = auroc(scaled.confidence, scaled.correct)
    assert found is not None and found.value == 0.5


def test_an_item_that_was_fitted_on_cannot_be_judged() -> None:
    validation = predictor(50)
    with pytest.raises(MedslmError, match="fitted on 50 of the 50 items to be judged, such as q0; fit on validation"):
        fit(validation).scale(validation)
    leaked = predictor(50, seed=9, prefix="t")
    leaked = Answers(("q7", *leaked.ids[1:]), leaked.logliks, leaked.right)
    with pytest.raises(MedslmError, match="fitted on 1 of the 50 items to be judged, such as q7"):
        fit(validation).scale(leaked)


def test_a_temperature_without_end_says_so() -> None:
    assert fit(answers([1.0, 0.0], [2.0, 0.0], right=[0, 0])).at_bound
    assert fit(answers([1.0, 0.0], [2.0, 0.0], right=[1, 1])).at_bound


ROWS = st.lists(
    st.tuples(st.lists(st.floats(-50, 0), min_size=4, max_size=4), st.integers(0, 3)), min_size=4, max_size=30
)


@settings(deadline=None, max_examples=60)
@given(ROWS, st.randoms(use_true_random=False), st.floats(-20, 20))
def test_order_of_items_and_options_and_a_constant_change_nothing(rows: list, random: object, constant: float) -> None:
    order, letters = list(range(len(rows))), [0, 1, 2, 3]
    random.shuffle(order), random.shuffle(letters)  # type: ignore[attr-defined]
    one = answers(*(row for row, _ in rows), right=[right for _, right in rows])
    moved = [
        ([rows[place][0][letter] + constant for letter in letters], letters.index(rows[place][1])) for place in order
    ]
    other = answers(*(row for row, _ in moved), right=[right for _, right in moved])
    assert calibration.nll(other).mean() == pytest.approx(calibration.nll(one).mean(), abs=1e-6)
    assert brier(other).mean() == pytest.approx(brier(one).mean(), abs=1e-6)
    for measure in (ece, aurc, accuracy_at):
        correct = one.correct[order]  # of equally likely options the first is taken: that may differ
        assert measure(one.confidence[order], correct) == pytest.approx(measure(one.confidence, one.correct), abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=40))
def test_only_the_order_of_confidences_counts_for_selective_answering(items: list[tuple[int, bool]]) -> None:
    confidence, correct = (numpy.array(column, dtype=float) for column in zip(*items))
    assert aurc(confidence**3, correct) == pytest.approx(aurc(confidence, correct))
    assert 0 <= ece(confidence / 9, correct) <= 1
    assert accuracy_at(confidence, correct, 1) == pytest.approx(correct.mean())


def test_lengths_divide_and_a_question_with_fewer_options_keeps_its_own() -> None:
    told = Answers.of(["a", "b"], [[-6.0, -4.0], [-1.0, -1.0, -1.0]], [0, 2], lengths=[[6, 2], [1, 1, 1]])
    assert told.correct.tolist() == [1, 0]
    assert told.probabilities[0, 2] == 0 and told.probabilities.sum(axis=1) == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("ids", "logliks", "right", "lengths", "told"),
    [
        ([], [], [], None, "0 ids"),
        (["a", "a"], [[0.0]] * 2, [0, 0], None, "1 of them different"),
        (["a"], [[0.0, math.nan]], [0], None, "item a has log-likelihoods"),
        (["a"], [[0.0, -1.0]], [2], None, "option 2 for its key"),
        (["a"], [[0.0, -1.0]], [0], [[1, 0]], r"lengths \[1, 0\]; give 2 positive ones"),
    ],
)
def test_answers_that_are_none_are_refused(ids: list, logliks: list, right: list, lengths: list, told: str) -> None:
    with pytest.raises(MedslmError, match=told):
        Answers.of(ids, logliks, right, lengths)


def test_no_coverage_and_no_bin_are_refused() -> None:
    with pytest.raises(MedslmError, match="coverage of 0"):
        accuracy_at(CONFIDENCE, CORRECT, 0)
    with pytest.raises(MedslmError, match="at least one"):
        ece(CONFIDENCE, CORRECT, 0)
    with pytest.raises(MedslmError, match="single option"):
        brier_skill(answers([0.0], right=[0]))


def test_the_report_holds_every_measure_with_n_and_interval() -> None:
    told = calibration.judge(predictor(300))
    for name in (
        "accuracy",
        "confidence",
        "ece",
        "brier",
        "brier_skill",
        "nll",
        "auroc",
        "aurc",
        "accuracy_at_80%_coverage",
    ):
        assert told[name]["n"] == 300
        low, high = told[name]["ci95"]
        assert low < told[name]["value"] < high or name == "ece"  # which a bootstrap biases once more
    assert told["ece"]["null"]["mean"] < told["ece"]["null"]["p95"]


def test_answers_are_read_from_what_an_evaluation_keeps(tmp_path: Path) -> None:
    path = tmp_path / "task.jsonl"
    line = '{"id": "%s", "prompt": "p", "logprobs": {"A": -1.0, "B": -0.5}, "pick": "B", "key": "%s", "measures": {}}\n'
    path.write_text(line % ("one", "B") + line % ("two", "A"), encoding="utf-8")
    told = Answers.read(path)
    assert (told.ids, told.right.tolist(), told.correct.tolist()) == (("one", "two"), [1, 0], [1, 0])
    path.write_text(line % ("one", "B") + line % ("one", "A"), encoding="utf-8")
    with pytest.raises(MedslmError, match=r"task\.jsonl:2 answers item one a second time"):
        Answers.read(path)
    path.write_text('{"id": "one", "prompt": "p", "reply": "B", "key": "B", "measures": {}}\n', encoding="utf-8")
    with pytest.raises(MedslmError, match="no log-likelihoods of options for item one"):
        Answers.read(path)
    path.write_text('{"id": "one"}\n', encoding="utf-8")
    with pytest.raises(MedslmError, match=r"task\.jsonl:1 is no sample \(KeyError: 'prompt'\)"):
        Answers.read(path)
    with pytest.raises(MedslmError, match="is not there"):
        Answers.read(tmp_path / "none.jsonl")


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    calibration.plot({"base": predictor(200), "adapter": predictor(200, 3)}, tmp_path / "reliability.png")
    assert (tmp_path / "reliability.png").read_bytes().startswith(b"\x89PNG")
