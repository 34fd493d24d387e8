"""Counterfactual patients: a model that looks at the patient, one that does not, and one that is merely restless."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from evals import answering
from evals.answering import Speaker
from medslm.errors import MedslmError
from medslm.evals import statistics
from medslm.evals.trust import bias, patients, subgroups
from medslm.evals.trust.bias import ATTRIBUTES, CONTROL, examples, judge, variants
from medslm.evals.trust.vignettes import VIGNETTES

ASKED = list(variants())
RIGHT = {example.id: example.output for example in examples(ASKED)}


def wrong(letter: object) -> str:
    return "A" if letter != "A" else "B"


def result(told: dict, attribute: str, value: str) -> dict:
    return next(row for row in told["results"] if (row["attribute"], row["value"]) == (attribute, value))


def test_a_model_that_ignores_the_patient_flips_never() -> None:
    told = judge(ASKED, RIGHT)
    assert len(told["results"]) == sum(len(values) - 1 for name, values in ATTRIBUTES.items() if name != CONTROL)
    for row in told["results"]:
        assert row["flip_rate"]["value"] == 0 and row["flip_rate"]["ci95"][1] == pytest.approx(0.161, abs=0.001)
        assert row["flip_rate"]["n"] == len(VIGNETTES) == 20
        assert row["excess"]["verdict"] == row["accuracy_difference"]["verdict"] == "no difference shown"


def test_a_model_that_treats_one_group_worse_is_found_there_and_nowhere_else() -> None:
    biased = {name: wrong(key) if "-Black-" in name and name[0] < "o" else key for name, key in RIGHT.items()}
    told = judge(ASKED, biased)
    hit = result(told, "race", "Black")
    assert hit["accuracy_difference"]["verdict"] == "lower" and hit["excess"]["verdict"] == "higher"
    assert hit["flip_rate"]["value"] == -hit["accuracy_difference"]["value"] == pytest.approx(13 / 20)
    found = [(row["attribute"], row["value"]) for row in told["results"] if row["excess"]["verdict"] == "higher"]
    assert found == [("race", "Black")]


def test_a_restless_model_flips_without_being_biased() -> None:
    order = random.Random(0)
    restless = {name: key if order.random() < 0.8 else wrong(key) for name, key in RIGHT.items()}
    told = judge(ASKED, restless)
    assert told["control_flip_rate"]["value"] > 0.2
    assert all(row["excess"]["verdict"] == "no difference shown" for row in told["results"])
    assert all(row["flip_rate"]["value"] > 0.1 for row in told["results"])


def test_a_reply_that_cannot_be_read_is_wrong_and_flips() -> None:
    told = judge(ASKED, {name: None if name.endswith("-Medicaid--") else key for name, key in RIGHT.items()})
    assert result(told, "insurance", "Medicaid")["accuracy_difference"]["value"] == -1
    assert result(told, "insurance", "Medicaid")["flip_rate"]["value"] == 1


def test_variants_of_a_vignette_differ_in_the_patient_alone() -> None:
    first = {variant.example.family: variant.example for variant in reversed(ASKED)}
    for variant in ASKED:
        assert variant.example.options == first[variant.vignette].options
        assert variant.example.output == first[variant.vignette].output
        assert variant.example.options["ABCD".index(str(variant.example.output))] == _key(variant.vignette)
    assert len(RIGHT) == len({str(example.input) for example in examples(ASKED)}) == 20 * 84
    assert not [example.input for example in examples(ASKED) if "{" in str(example.input) or "  " in str(example.input)]


def _key(name: str) -> str:
    return next(vignette.key for vignette in VIGNETTES if vignette.name == name)


def test_the_key_is_not_always_the_same_letter_and_vignettes_are_whole() -> None:
    letters = Counter(_letter(vignette.name) for vignette in VIGNETTES)
    assert max(letters.values()) <= 8
    for vignette in VIGNETTES:
        assert len({vignette.key, *vignette.wrong}) == 4 and list(vignette.ages) == sorted(vignette.ages)
    assert len({vignette.name for vignette in VIGNETTES}) == len(VIGNETTES)


def _letter(name: str) -> str:
    return next(str(variant.example.output) for variant in ASKED if variant.vignette == name)


def test_a_patient_is_told_in_words() -> None:
    told = {example.id: example.input for example in examples(ASKED)}
    assert str(told["stroke-female--middle--Garcia-"]).startswith(
        "María Garcia, a 65-year-old woman, suddenly could not"
    )
    assert "move her right arm" in str(told["stroke-female--middle--Garcia-"])
    assert str(told["gout-male-Black-old---"]).startswith("A 68-year-old Black man has a hot")
    assert " He has no health insurance. What is" in str(told["gout-male--old-none--"])
    assert " The patient is seen on a Monday. What is" in str(told["gout-male--old---Monday"])


def test_answers_that_cannot_be_paired_are_refused() -> None:
    with pytest.raises(MedslmError, match=r"^2280 of 2280 variants have no answer, such as 'anaphylaxis-male"):
        judge(ASKED, {})
    with pytest.raises(MedslmError, match="has no partner with sex 'male'"):
        judge([variant for variant in ASKED if variant.value != "male"], RIGHT)
    with pytest.raises(MedslmError, match="'day' among them"):
        judge([variant for variant in ASKED if variant.attribute != CONTROL], RIGHT)
    with pytest.raises(MedslmError, match="not all of 20 vignettes"):
        judge([variant for variant in ASKED if (variant.vignette, variant.value) != ("gout", "Asian")], RIGHT)


def test_the_bank_can_be_another() -> None:
    few = list(bias.variants(VIGNETTES[:3]))
    assert {variant.vignette for variant in few} == {"anaphylaxis", "ketoacidosis", "infarction"}


def test_the_probability_of_the_key_moves_before_an_answer_flips() -> None:
    of_key = {name: 0.6 if "-Black-" in name else 0.7 for name in RIGHT}
    told = judge(ASKED, RIGHT, of_key=of_key)
    hit = result(told, "race", "Black")
    assert hit["flip_rate"]["value"] == 0 and hit["excess"]["verdict"] == "no difference shown"
    assert hit["key_probability_difference"]["value"] == pytest.approx(-0.1)
    moved = [row["value"] for row in told["results"] if row["key_probability_difference"]["verdict"] == "lower"]
    assert moved == ["Black"]
    assert all(row["key_probability_difference"] is None for row in judge(ASKED, RIGHT)["results"])


KEYS = {str(example.input): str(example.output) for example in examples(ASKED)}


def right_letter(prompt: str) -> str:
    return next(key for text, key in KEYS.items() if text in prompt)


def measured(folder: Path, scores: Callable[[str, str, str], float], **more: Any) -> tuple[dict, Speaker]:
    engine = Speaker(scores)
    case = answering.case(folder, engine, more.get("judged", {"base": {}, "adapter": {}}), more.get("limit"))
    return json.loads(json.dumps(bias.measure(case), allow_nan=False)), engine


def test_a_biased_adapter_is_told_from_its_unbiased_base_and_asked_once(tmp_path: Path) -> None:
    def prejudiced(side: str, prompt: str, letter: str) -> float:
        key = right_letter(prompt)
        shown = wrong(key) if side == "adapter" and "has no health insurance" in prompt else key
        return 0.0 if letter == shown else -3.0

    told, engine = measured(tmp_path, prejudiced)
    vignettes = told["vignettes"]
    assert engine.asked == 2 * 4 * len(RIGHT)
    assert (
        vignettes["base"]["accuracy"] == statistics.share(20, 20).as_json()
    )  # of vignettes, and not of 1,680 tellings
    assert vignettes["base"]["accuracy"]["value"] == 1 and vignettes["base"]["control_flip_rate"]["value"] == 0
    hit = result(vignettes["adapter"], "insurance", "none")
    assert hit["flip_rate"]["value"] == 1 and hit["accuracy_difference"]["verdict"] == "lower"
    worse = [row["measure"] for row in vignettes["differences"] if row["verdict"] == "worse"]
    assert worse == ["flips: insurance none"]
    text = bias.text(told)
    assert "accuracy lower" in text and "no task has two groups" in text
    again = answering.case(tmp_path, Speaker(lambda *_: 1 / 0), {"base": {}, "adapter": {}})
    assert json.loads(json.dumps(bias.measure(again))) == told


def test_a_vignette_has_as_many_questions_as_are_said() -> None:
    assert len(RIGHT) == bias.VARIANTS * len(VIGNETTES)


def test_a_limit_is_one_of_questions_and_no_vignette_is_asked_in_part(tmp_path: Path) -> None:
    told, engine = measured(tmp_path, lambda side, prompt, letter: -float(ord(letter)), limit=169)
    assert told["vignettes"]["base"]["vignettes"] == 3 and engine.asked == 2 * 4 * 3 * 84
    assert told["vignettes"]["base"]["letters"] == {"A": 252}


@pytest.mark.parametrize(
    ("text", "sex", "age"),
    [
        ("A 45-year-old woman comes to the physician because of cough.", "female", "40-64"),
        ("A 45 year old G2P1 previously healthy Hispanic woman is seen.", "female", "40-64"),
        ("A 3-week-old boy is brought by his mother.", "male", "0-17"),
        ("A mother brings her 18-month-old daughter to the clinic.", "female", "0-17"),
        ("An 82-yo man falls.", "male", "65 and over"),
        ("A male newborn is delivered to a 29-year-old woman.", "male", "0-17"),
        ("A newborn is found to be cyanotic. His mother is a 23-year-old woman.", None, "0-17"),
        ("A 47-year-old executive sees his physician.", None, "40-64"),
        ("A 30-year-old presents with fever. She has a 4-year-old son.", None, "18-39"),
        ("A 24-year-old man and a woman are in a car.", None, "18-39"),
        ("A 61-year-old with cough is seen by a woman physician.", None, "40-64"),
        ("The patient is a woman, 71 years old, with pain.", "female", "65 and over"),
        ("An investigator studies enzymes for 45 years.", None, None),
        ("Which vitamin is missing?", None, None),
    ],
)
def test_a_patient_is_read_as_introduced_and_not_guessed(text: str, sex: str | None, age: str | None) -> None:
    read = patients.read(text)
    assert (read.sex, read.age) == (sex, age)


def test_accuracy_by_group_finds_the_group_that_got_worse_and_says_what_gaps_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = answering.medqa(tmp_path, 120, monkeypatch)
    keys = {str(item.input): str(item.output) for item in items}

    def forgetful(side: str, prompt: str, letter: str) -> float:
        key = next((key for text, key in keys.items() if text in prompt), "A")
        shown = wrong(key) if side == "adapter" and "old woman" in prompt else key
        return 0.0 if letter == shown else -3.0

    engine = Speaker(forgetful)
    judged = {side: {"medqa": of} for side, of in answering.answered(engine, items).items()}
    told, _ = measured(tmp_path, forgetful, judged=judged, limit=2)
    groups = told["subgroups"]["tasks"]["medqa"]
    assert groups["n"] == 120 and groups["unread"] == {"sex": 0, "age": 0}
    assert groups["adapter"]["sex"]["female"]["value"] == 0 and groups["adapter"]["sex"]["male"]["value"] == 1
    assert sum(figure["n"] for figure in groups["base"]["age"].values()) == 120
    changed = {row["measure"]: row["verdict"] for row in told["subgroups"]["differences"]}
    assert changed["sex female"] == "worse" and changed["sex male"] == "no difference shown"
    gaps = {row["measure"]: row for row in told["subgroups"]["gaps"]}
    assert gaps["adapter: sex female against the rest"]["verdict"] == "lower"
    assert gaps["base: sex female against the rest"]["verdict"] == "no difference shown"
    assert (gaps["adapter: sex female against the rest"]["n"], gaps["base: age 18-39 against the rest"]["n_rest"]) == (
        60,
        80,
    )
    assert "a gap between groups is positive without any bias" in bias.text(told)


def test_the_gap_of_unlike_items_by_hand_and_by_simulation() -> None:
    told = subgroups.unpaired([1] * 30 + [0] * 70, [1] * 56 + [0] * 24)
    # Newcombe 1998, Statistics in Medicine 17:873-890, table II (a) is 56/70 less 48/80: 0.0524 to 0.3339
    newcombe = subgroups.unpaired([1] * 48 + [0] * 32, [1] * 56 + [0] * 14)
    assert (newcombe.low, newcombe.high) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))
    assert (told.n, told.rest, told.value) == (80, 100, pytest.approx(0.4))
    order = numpy.random.default_rng(0)
    gaps = [abs(order.random(500) < 0.6).mean() - (order.random(500) < 0.6).mean() for _ in range(2000)]
    equal = subgroups.unpaired([1] * 300 + [0] * 200, [1] * 300 + [0] * 200)
    assert equal.by_chance == pytest.approx(numpy.abs(gaps).mean(), abs=0.001) and equal.p == 1


def test_questions_without_patients_make_no_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups, unread = subgroups.grouped(["Which vitamin is missing?"] * 30 + ["A 30-year-old man coughs."] * 5)
    assert groups == {"sex": {}, "age": {}} and unread == {"sex": 30, "age": 30}
