"""What a source does not support is found, and what it does support is left alone: cases with a known answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medslm.evals.clinical import faithfulness
from medslm.evals.clinical.lexicon import _read, lexicon
from medslm.evals.clinical.rouge import unigrams
from medslm.evals.clinical.sentences import tokens

NOTE = (
    "No evidence of PE on CT. Continue lisinopril 20 mg daily and Lasix 0.5 g. Denies fever, chills, or cough but reports "
    "nausea. Blood pressure 120/80. Follow up in 2 weeks."
)


def measure(reply: str, source: str = NOTE, reference: str = NOTE) -> dict[str, float]:
    return faithfulness.measure(source, reference, reply)


def test_a_copy_of_the_source_is_faithful_and_leaves_nothing_out() -> None:
    told = measure(NOTE)
    assert told.pop("faithful") == 1
    assert len(told) == 8 and not any(told.values())


def test_an_empty_reply_is_not_faithful_and_leaves_everything_out() -> None:
    assert (
        measure("")
        == measure(" \n")
        == {
            "faithful": 0,
            "omitted_entities": 1,
            "omitted_numbers": 1,
            "omitted_doses": 1,
        }
    )


@pytest.mark.parametrize(
    "reply",
    [
        "There is no PE.",
        "No pulmonary embolism.",
        "PE was ruled out.",
        "Lasix 500mg.",
        "Furosemide 500 mg.",
        "Return in 14 days.",
    ],
)
def test_the_same_in_other_words_is_supported(reply: str) -> None:
    assert measure(reply)["faithful"] == 1


@pytest.mark.parametrize(
    ("reply", "kinds"),
    [
        ("PE is present.", {"contradicted_findings"}),
        ("She has a fever.", {"contradicted_findings"}),
        ("Denies nausea.", {"contradicted_findings"}),
        ("Continue lisinopril 200 mg.", {"unsupported_numbers", "unsupported_doses"}),
        ("Continue lisinopril 2 mg.", {"unsupported_numbers", "unsupported_doses"}),
        ("Continue lisinopril 20 g.", {"unsupported_numbers", "unsupported_doses"}),
        ("Continue warfarin 20 mg.", {"unsupported_entities", "unsupported_doses"}),
        ("She was intubated.", {"unsupported_entities"}),
        ("Follow up in 3 weeks.", {"unsupported_numbers"}),
    ],
)
def test_an_error_is_found_as_what_it_is(reply: str, kinds: set[str]) -> None:
    told = measure(reply)
    assert told["faithful"] == 0 and told["unsupported"] > 0
    wrong = {kind for kind, value in told.items() if value and kind.startswith(("unsupported_", "contradicted"))}
    assert wrong == kinds


def test_rouge_ranks_the_two_answers_on_embolism_the_wrong_way_and_the_rules_do_not() -> None:
    source, right, wrong = "No evidence of PE", "There is no PE", "PE is present"
    assert measure(right, source, source)["faithful"] > measure(wrong, source, source)["faithful"]
    assert unigrams(source, right) - unigrams(source, wrong) < 0.3


def test_the_doses_of_two_medicines_far_apart_are_not_exchanged() -> None:
    between = "She feels well and walks every day with her dog in the park. " * 6
    source = f"Takes lisinopril 20 mg. {between}Takes metoprolol 50 mg."
    assert measure("Lisinopril 20 mg, metoprolol 50 mg.", source)["faithful"] == 1
    assert measure("Lisinopril 50 mg, metoprolol 20 mg.", source)["unsupported_doses"] == 1


def test_a_dose_may_stand_before_its_medicine_and_in_a_dialogue_turns_later() -> None:
    source = "Doctor: Let's stay on Lasix.\nPatient: Okay.\nDoctor: It will be eighty milligrams."
    assert measure("80 mg of oral Lasix.", source)["unsupported_doses"] == 0
    assert measure("8 mg of oral Lasix.", source)["unsupported_doses"] == 1


def test_an_omission_counts_only_what_the_source_has() -> None:
    reference = "Lisinopril 20 mg. Warfarin 5 mg. Follow up in 2 weeks."  # nobody spoke of warfarin
    told = measure("Lisinopril 20 mg.", reference=reference)
    assert (told["omitted_entities"], told["omitted_doses"], told["omitted_numbers"]) == (0, 0, 0.5)
    assert measure("Rest.", reference="Warfarin.") == {"faithful": 1}


def test_a_share_of_no_claims_is_left_out() -> None:
    assert measure("She feels well.", reference="Well.") == {"faithful": 1}


WORDS = [
    "no",
    "denies",
    "any",
    "fever",
    "PE",
    "Lasix",
    "5",
    "mg",
    ".",
    "?",
    "\n",
    "but",
    ",",
    "two",
    "weeks",
    "yes",
    "if",
    "ruled out",
]


@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join))
def test_a_copy_of_any_source_is_faithful(text: str) -> None:
    assert measure(text, text, text)["faithful"] == float(bool(text.strip()))


def test_no_name_is_listed_for_two_things_and_each_is_found() -> None:
    entries = [*_read("drugs", "drug"), *_read("findings", "finding")]
    said = [name for name, _ in entries]
    assert sorted({name for name in said if said.count(name) > 1}) == []
    for name, (first, _) in entries:
        assert [mention.name for mention in lexicon().find(tokens(name))] == [first]


@pytest.mark.parametrize("number", ["9" * 6000, "1." + "3" * 6000, "1," + "000," * 2000 + "000"])
def test_a_number_that_came_to_no_end_is_unsupported_and_stops_nothing(number: str) -> None:
    told = faithfulness.measure("Aspirin 81 mg daily.", "Aspirin 81 mg.", f"Aspirin {number} mg.")
    assert told["unsupported_doses"] == 1 and told["faithful"] == 0
