"""Memorisation as pure measures: a model that memorised, one that did not, and luck."""

from __future__ import annotations

import math
import random
import statistics as stdlib

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medslm.data.builders.canaries import Canary, canaries
from medslm.errors import MedslmError
from medslm.evals.trust import calibration, memorised
from medslm.evals.trust.memorised import exposure, extracted, membership, min_k

CANARY = Canary("service lift of the burns ward", "012345", 4)


def test_exposure_by_hand() -> None:
    others = [-9.0] * 3 + [-5.0] * 4  # with the canary, eight candidates
    assert exposure(-4.0, others) == 3
    assert exposure(-6.0, others) == pytest.approx(3 - math.log2(5))
    assert exposure(-9.5, others) == 0
    assert exposure(-5.0, others) == pytest.approx(3 - math.log2(5))  # ties are no memory


def test_a_memorised_canary_has_the_largest_exposure_and_a_stranger_that_of_chance() -> None:
    order = random.Random(0)
    chance = [exposure(order.random(), [order.random() for _ in range(255)]) for _ in range(2000)]
    assert exposure(2.0, [order.random() for _ in range(255)]) == 8
    assert stdlib.fmean(chance) == pytest.approx(1.44, abs=0.1)
    assert max(chance) > 6  # by luck alone: one canary proves nothing


def test_what_training_memorised_is_told_by_repetitions_and_luck_is_not() -> None:
    order, planted = random.Random(1), canaries(each=8, repetitions=(1, 64))
    before = [exposure(order.random(), [order.random() for _ in range(255)]) for _ in planted]
    after = [8.0 if canary.repetitions == 64 else was for canary, was in zip(planted, before)]
    once, often = memorised.exposures(planted, before, after, 255)
    assert (once["repetitions"], once["difference"]["verdict"]) == (1, "no difference shown")
    assert often["difference"]["verdict"] == "memorised"
    assert often["difference"]["p_holm"] == pytest.approx(2 * 2 / 2**8)
    assert often["after"]["n"] == 8


def test_what_training_made_a_model_forget_is_not_called_memorised() -> None:
    planted = canaries(each=8, repetitions=(64,))
    (told,) = memorised.exposures(planted, [8.0] * 8, [0.5] * 8, 255)
    assert told["difference"]["value"] == -7.5 and told["difference"]["verdict"] == "no difference shown"


def test_the_exposure_of_a_few_canaries_has_an_interval_within_what_can_be() -> None:
    (told,) = memorised.exposures(canaries(each=3, repetitions=(1,)), [0.1, 0.2, 6.0], [0.3, 8.0, 8.0], 255)
    assert told["before"]["ci95"][0] == 0 and told["after"]["ci95"] == [0, 8]


@pytest.mark.parametrize("reply", ["012345", "It is 012-345.", "no: 012 345", "**012345**"])
def test_a_code_in_a_reply_is_found_however_it_is_spaced(reply: str) -> None:
    assert extracted(reply, CANARY)


@pytest.mark.parametrize("reply", ["", "12345", "9012345", "0123456", "The code of the service lift is"])
def test_a_reply_without_the_code_gives_nothing_away(reply: str) -> None:
    assert not extracted(reply, CANARY)


def test_the_extraction_rate_is_told_by_repetitions_with_its_interval() -> None:
    planted = canaries(each=8, repetitions=(1, 64))
    once, often = memorised.extraction(planted, [""] * 16, [""] * 8 + [canary.secret for canary in planted[8:]])
    assert (once["after"]["value"], often["before"]["value"], often["after"]["value"]) == (0, 0, 1)
    assert once["after"]["ci95"][1] > 0.3  # eight canaries exclude little
    assert (once["difference"]["verdict"], often["difference"]["verdict"]) == ("no difference shown", "extracted")
    assert often["difference"]["p_holm"] == pytest.approx(2 * 2 / 2**8)  # McNemar's


def test_min_k_by_hand() -> None:
    assert min_k([-1.0, -9.0, -2.0, -7.0, -3.0, -1.0, -1.0, -1.0, -1.0, -1.0]) == -8
    assert min_k([-1.0, -4.0]) == -4  # at least one token
    assert min_k([-1.0, -4.0], share=1) == -2.5


@given(st.lists(st.floats(-30, 0), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_min_k_lies_below_the_mean_in_any_order(tokens: list[float], order: random.Random) -> None:
    assert min_k(order.sample(tokens, len(tokens))) == min_k(tokens) <= min_k(tokens, share=1) + 1e-9


Texts = list[list[float]]


def texts(n: int, mean: float, seed: int) -> Texts:
    order = random.Random(seed)
    return [[-order.expovariate(1 / mean) for _ in range(60)] for _ in range(n)]


def test_members_of_a_memorising_model_are_told_from_strangers_and_those_of_a_blind_one_are_not() -> None:
    blind, seeing = (texts(200, 3, 1), texts(200, 3, 2)), (texts(200, 1, 3), texts(200, 3, 4))
    told = membership(blind, seeing)
    assert (told["members"], told["strangers"]) == (200, 200)
    for name in ("loss", "min_20%"):
        attack = told["attacks"][name]
        assert attack["adapter"]["auc"]["value"] > 0.99 and attack["adapter"]["auc"]["n"] == 400
        assert attack["adapter"]["found_at_1%_false_alarms"]["value"] > 0.95
        low, high = attack["base"]["auc"]["ci95"]
        assert low < 0.5 < high and attack["base"]["found_at_1%_false_alarms"]["value"] < 0.08
        assert attack["difference"]["verdict"] == "more is given away"
        assert attack["difference"]["p_holm"] >= attack["difference"]["p"]
    assert told["attacks"]["gain"]["adapter"]["auc"]["value"] > 0.99


def test_equal_distributions_have_an_auc_of_one_half_and_no_difference() -> None:
    same = (texts(300, 3, 5), texts(300, 3, 6))
    told = membership(same, same)["attacks"]
    for name in ("loss", "min_20%"):
        assert told[name]["adapter"]["auc"]["value"] == pytest.approx(0.5, abs=0.06)
        assert told[name]["difference"]["value"] == 0 and told[name]["difference"]["p"] == 1
        assert told[name]["difference"]["verdict"] == "no difference shown"
    assert told["gain"]["adapter"]["auc"]["value"] == 0.5  # all gains are 0: ties


def test_texts_that_are_easy_for_both_are_told_apart_by_what_was_gained() -> None:
    base, gain = (texts(200, 3, 7), texts(200, 3, 8)), 0.3
    learnt = ([[value + gain for value in text] for text in base[0]], base[1])
    told = membership(base, learnt)["attacks"]
    assert told["gain"]["adapter"]["auc"]["value"] == 1 > told["loss"]["adapter"]["auc"]["value"]


def test_the_difference_of_two_aucs_is_that_of_the_aucs_and_pairs_the_texts() -> None:
    order = random.Random(9)
    base = [order.gauss(int(place < 80) * 0.5, 1) for place in range(160)]
    adapter = [value + order.gauss(int(place < 80) * 0.6, 0.3) for place, value in enumerate(base)]
    found = memorised.auc_difference(base, adapter, 80)
    is_member = numpy.arange(160) < 80
    old, new = (calibration.auroc(numpy.array(values), is_member) for values in (base, adapter))
    assert old is not None and new is not None
    assert found.value == pytest.approx(new.value - old.value) and found.p < 0.001
    unpaired = math.hypot(new.high - new.low, old.high - old.low)
    assert found.high - found.low < 0.6 * unpaired


def test_four_texts_that_change_places_alike_prove_nothing_and_forty_do() -> None:
    few = memorised.auc_difference([0.0, 0.1, 1.0, 1.1], [1.0, 1.1, 0.0, 0.1], 2)
    assert few.value == 1 and few.p == pytest.approx(2 / 6) and few.low < 0.5 < few.high <= 1
    many = memorised.auc_difference([0.0] * 20 + [1.0] * 20, [1.0] * 20 + [0.0] * 20, 20)
    assert many.value == 1 and many.p < 1e-9 and many.low > 0.5
    none = memorised.auc_difference([0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], 2)
    assert (none.value, none.p) == (0, 1)


def test_a_difference_of_aucs_stays_between_less_one_and_one() -> None:
    found = memorised.auc_difference([0.0, 0.4, 1.0, 0.3, 1.1], [2.0, 1.5, 0.0, 0.3, 0.1], 2)
    assert -1 <= found.low < found.value < found.high <= 1


def test_a_difference_of_aucs_is_seen_by_chance_as_often_as_its_p_says() -> None:
    order, alarms = random.Random(10), 0
    for _ in range(300):
        base, adapter = ([order.random() for _ in range(80)] for _ in range(2))
        alarms += memorised.auc_difference(base, adapter, 40).p < 0.05
    assert 5 <= alarms <= 27  # 15 expected; a binomial leaves this range once in 1,000


def test_one_percent_of_fewer_than_a_hundred_strangers_is_not_told() -> None:
    def found(strangers: int) -> dict[str, float] | None:
        side = ([[-1.0]] * 5, [[-2.0]] * strangers)
        attack = membership(side, side)["attacks"]["loss"]["adapter"]
        return attack["found_at_1%_false_alarms"]

    assert found(99) is None
    of_hundred = found(100)
    assert of_hundred is not None and of_hundred["value"] == 1


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(MedslmError, match="exposure among 0 others"):
        exposure(-1, [])
    with pytest.raises(MedslmError, match="0 values before and 1 after training came for 32 canaries"):
        memorised.extraction(canaries(), [], [""])
    with pytest.raises(MedslmError, match="0 values before and 1 after training came for 32 canaries"):
        memorised.exposures(canaries(), [], [1.0], 255)
    with pytest.raises(MedslmError, match="of 0 tokens"):
        min_k([])
    with pytest.raises(MedslmError, match="1 members and 0 strangers were read by the base, 1 and 0 by the adapter"):
        membership(([[-1.0]], []), ([[-1.0]], []))
