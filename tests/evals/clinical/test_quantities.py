"""Numbers with units: what is the same, what is not, and what a spoken number may mean."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medslm.evals.clinical import quantities
from medslm.evals.clinical.quantities import Quantity
from medslm.evals.clinical.sentences import sentences


def written(text: str) -> list[Quantity]:
    return [found.quantity for one in sentences(text) for found in quantities.written(one.tokens)]


def understood(text: str) -> list[Quantity]:
    return [found.quantity for one in sentences(text) for found in quantities.understood(one.tokens)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,000 mL", "1000 ml"),
        ("5 mg", "5mg"),
        ("5-mg", "5 milligrams"),
        ("0.5 g", "500 mg"),
        (".5 g", "500000 mcg"),
        ("2 weeks", "14 days"),
        ("48 hours", "2 days"),
        ("76-year-old", "912 months"),
        ("180 mg/dL", "1.8 g/L"),
        ("180 mg/dl", "180 milligrams per deciliter"),
        ("40 mg/day", "40 mg"),
        ("80 mmHg", "80 mm Hg"),
        ("five hundred m g", "500 mg"),
        ("twenty-five milligrams", "25 mg"),
        ("101.5 F", "101.5 degrees"),
    ],
)
def test_the_same_amount_agrees_however_it_is_written(one: str, other: str) -> None:
    (left,), (right,) = written(one), written(other)
    assert left.agrees(right) and right.agrees(left)


@pytest.mark.parametrize(
    ("one", "other"),
    [("5 mg", "50 mg"), ("5 mg", "5 g"), ("5 mg", "5 days"), ("5", "6"), ("20 mg", "2 0"), ("5%", "5 mg")],
)
def test_other_amounts_and_units_do_not_agree(one: str, other: str) -> None:
    assert not any(left.agrees(right) for left in written(one) for right in written(other))


def test_a_number_without_its_unit_agrees_as_it_was_said_and_not_as_converted() -> None:
    (dose,) = written("20 mg")
    assert dose.agrees(Quantity(Fraction(20))) and not dose.agrees(Quantity(Fraction(1, 50)))


@pytest.mark.parametrize(
    ("spoken", "number"),
    [
        ("one twenty over eighty", 120),
        ("one twenty over eighty", 80),
        ("two hundred and fifty", 250),
        ("a thousand", 1000),
        ("two thousand eight", 2008),
        ("nineteen ninety eight", 1998),
        ("thirty first of July", 31),
        ("thirty first of July", 7),
        ("in her forties", 40),
        ("twice", 2),
    ],
)
def test_a_spoken_number_may_mean_what_a_note_writes(spoken: str, number: int) -> None:
    assert Fraction(number) in {quantity.number for quantity in understood(spoken)}


def test_decimals_are_spoken_with_a_point() -> None:
    for text in ("one oh two point four", "point one twenty five"):
        assert {"102.4", "0.125"} & {str(float(quantity.number)) for quantity in understood(text)}


@pytest.mark.parametrize("text", ["a 2D echo", "L4 and vitamin B12", "1. Aspirin", "two of them", "A1c", "①"])
def test_codes_list_numbers_and_words_without_a_unit_are_no_claims(text: str) -> None:
    assert written(text) == []


def test_a_list_number_is_told_from_an_amount() -> None:
    assert written("1. Aspirin 81 mg\n2) Rest") == [Quantity(Fraction(81), "g", Fraction(1, 1000))]


@given(st.text(st.sampled_from(" \n.,-/%?'a15²٣½①") | st.characters(codec="utf-8"), max_size=40))
def test_any_text_can_be_read(text: str) -> None:
    assert set(written(text)) <= set(understood(text))


@given(
    st.lists(
        st.sampled_from([*quantities._SPOKEN, *quantities._SCALES, "point", "and", "-", "a", "mg", "o"]), max_size=8
    )
)
def test_any_run_of_number_words_can_be_read(words: list[str]) -> None:
    assert set(written(" ".join(words))) <= set(understood(" ".join(words)))


@pytest.mark.parametrize("said", ["nine " * 1500, "one hundred " + "thousand " * 2000, "point " + "nine " * 1500])
def test_words_that_come_to_no_end_are_read_in_no_time(said: str) -> None:
    started = time.process_time()
    assert understood(f"{said} mg")
    assert time.process_time() - started < 5


def test_a_spoken_telephone_number_is_still_one_number() -> None:
    assert Fraction("5551230987") in [
        found.number for found in understood("five five five one two three oh nine eight seven")
    ]
