"""Thoughts before an answer: written in tags, read back, and forgiven a missing tag; an answer is never made up of thoughts."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from medslm.data.example import Example
from medslm.data.formats import Answer, Unwritable, formats
from medslm.data.formats.format import thoughts
from medslm.data.formats.notation import ENDS

THINK = formats["think"]
TEXT = st.text(st.sampled_from("ab<>/\n \u00a0") | st.characters(exclude_categories=["Cs"]), max_size=30)


def example(output: str | dict[str, str], reasoning: str = "") -> Example:
    return Example("1", "Code it.", "Gout", output, "f", reasoning=reasoning)


@given(reasoning=TEXT, answer=TEXT)
@settings(deadline=None, derandomize=True, max_examples=300)
def test_thoughts_and_response_come_back_as_they_were(reasoning: str, answer: str) -> None:
    assume("</think>" not in reasoning)
    written = THINK.answer_of(example(answer, reasoning))
    assert thoughts(written) == (reasoning.strip(ENDS), answer.strip(ENDS), True)


@pytest.mark.parametrize("answer", ["<think>\nno\n</think>", "a</response>", "<response>\nx\n</response>"])
def test_tags_in_a_response_stay_in_it(answer: str) -> None:
    assert thoughts(THINK.answer_of(example(answer, "why"))) == ("why", answer, True)


def test_thoughts_that_hold_their_own_end_are_refused() -> None:
    with pytest.raises(Unwritable, match="the reasoning holds '</think>'") as refusal:
        THINK.answer_of(example("A", "one </think> two"))
    assert refusal.value.reason == "end of thought in the text"


@pytest.mark.parametrize(
    ("reply", "reasoning", "response"),
    [
        ("<think>\nwhy\n</think>\n<response>\nA", "why", "A"),
        ("<think>\nwhy\n<response>\nA\n</response>", "why", "A"),
        ("<think>why</think><response>A</response>", "why", "A"),
        ("<think>\nwhy\n</think>\nA", "why", "A"),
        ("why\n</think>\n\nA", "why", "A"),
        ("<think>\nwhy not", "why not", ""),
        ("<response>\nA\n</response> and more", "", "A"),
        ("<think>\nwhy\n</think>\n<response></response>", "why", ""),
        ("A", "", "A"),
        ("", "", ""),
    ],
)
def test_a_reply_that_lacks_tags_is_read_and_flagged(reply: str, reasoning: str, response: str) -> None:
    assert thoughts(reply) == (reasoning, response, False)


def test_the_fields_are_read_from_the_response_and_not_from_the_thoughts() -> None:
    written = THINK.answer_of(example({"code": "A00"}, "First guess.\ncode: B00"))
    assert THINK.read(written, ("code",)) == Answer({"code": "A00"}, reasoning="First guess.\ncode: B00")
    cut = THINK.read(written.partition("</think>")[0], ("code",))
    assert (cut.fields, cut.repaired, cut.missing) == ({}, True, ("code",))


def test_rival_answers_stand_behind_an_empty_thought() -> None:
    lettered = Example("1", "Choose.", "Gout", "B", "f", ("one", "two"))
    assert THINK.choices_of(lettered) == [f"<think>\n\n</think>\n<response>\n{letter}" for letter in "AB"]
    assert THINK.answer_of(lettered).startswith(THINK.choices_of(lettered)[1])
