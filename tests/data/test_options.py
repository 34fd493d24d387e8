"""Options change their places, never their meaning."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from medslm.data import options
from toy_data import example

FEVERS = ("typhoid", "malaria", "dengue", "sepsis")


def question(number: int = 0, shown: tuple[str, ...] = FEVERS, output: str = "A") -> options.Example:
    return replace(example(f"case {number}", str(number)), options=shown, output=output)


def test_the_right_option_is_right_wherever_it_stands_and_stands_everywhere_alike() -> None:
    lessons = [options.lesson(question(number)) for number in range(400)]
    assert all(one and one.options["ABCD".index(str(one.output))] == "typhoid" for one in lessons)
    counted = Counter(str(one.output) for one in lessons if one)
    assert all(60 < counted[letter] < 140 for letter in "ABCD"), counted
    assert sum(one is not None and one.options == FEVERS for one in lessons) > 4, "the given order is an order too"


def test_a_question_has_one_order_in_every_process() -> None:
    assert options.drawn(FEVERS, "lesson 7") == options.drawn(FEVERS, "lesson 7") == [3, 2, 0, 1]


def test_options_that_speak_of_others_keep_their_place_or_all_of_them() -> None:
    for number in range(20):
        shown = options.lesson(question(number, (*FEVERS[:3], "None of the above"), "D"))
        assert shown and shown.options[3] == "None of the above" and shown.output == "D"
    assert options.lesson(question(shown=(*FEVERS[:3], "Both A and B"))) is None


def test_what_may_speak_of_letters_is_left_alone() -> None:
    assert options.lesson(replace(question(), reasoning="B cannot be.")) is None
    assert options.lesson(question(output="A: typhoid, for B has no rash.")) is None
    assert options.lesson(question(output="F")) is None
    assert options.lesson(replace(question(), output={"fever": "typhoid"})) is None
    assert options.lesson(example("no options")) is None
    assert options.lesson(question(shown=("yes", "yes"))) is None


@given(st.lists(st.sampled_from([*FEVERS, "all", "no", ""]), max_size=6), st.text(max_size=5), st.booleans())
def test_a_draw_is_an_order_of_all_options(shown: list[str], by: str, other: bool) -> None:
    order = options.drawn(shown, by, other)
    if order is not None:
        assert sorted(order) == list(range(len(shown)))
        assert not other or order != sorted(order)
