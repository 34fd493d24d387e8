"""The key of a multiple-choice question points to one option, in whatever way it is written, or the row is refused."""

from __future__ import annotations

from typing import Any

import pytest

from medslm.data.corpus import Skip
from medslm.data.example import Example
from medslm.data.sources.readers.located import Located
from medslm.data.sources.shapes.examples import examples
from medslm.data.sources.shapes.mapping import of_corpus
from medslm.errors import MedslmError

OPTIONS = ("heart", "lung", "liver", "skin")


def answered(row: dict[str, Any], **columns: str) -> Example:
    (example,) = examples(Located({"question": "Where?", **row}, "x.jsonl", "line", 7), of_corpus(columns))
    return example


def refusal(row: dict[str, Any], **columns: str) -> str:
    with pytest.raises(MedslmError) as refused:
        answered(row, **columns)
    return str(refused.value)


def skipped(row: dict[str, Any]) -> str:
    with pytest.raises(Skip) as left_out:
        answered(row)
    return str(left_out.value)


@pytest.mark.parametrize(
    "row",
    [
        {"options": list(OPTIONS), "answer": "C"},
        {"options": list(OPTIONS), "answer": " c "},
        {"options": list(OPTIONS), "answer": "liver"},
        {"options": list(OPTIONS), "answer_idx": 2},
        {"options": list(OPTIONS), "answer_idx": "C", "answer": "liver"},
        {"options": '["heart", "lung", "liver", "skin"]', "answer": "C"},
        {"options": dict(zip("ABCD", OPTIONS)) | {"E": None}, "answer_idx": "C"},
        {"options": [{"key": key, "value": text} for key, text in zip("ABCD", OPTIONS)], "answer": "C"},
        {"choices": list(OPTIONS), "answer": 2},
        {"choices": {"text": list(OPTIONS), "label": list("1234")}, "answerKey": "3"},
        {**dict(zip(("opa", "opb", "opc", "opd"), OPTIONS)), "cop": 2},
        {**dict(zip(("ending0", "ending1", "ending2", "ending3"), OPTIONS)), "label": "2.0"},
        {**dict(zip("ABCDE", [*OPTIONS, ""])), "answer": "C"},
        {**dict(zip(("option_a", "option_b", "option_c", "option_d"), OPTIONS)), "answer": "C"},
    ],
)
def test_the_key_is_the_letter_of_the_right_option_in_every_published_form(row: dict[str, Any]) -> None:
    example = answered(row)
    assert (example.input, example.output, example.options) == ("Where?", "C", OPTIONS)


@pytest.mark.parametrize("answer", [0, 1, 4, "2", "3"])
def test_a_number_that_may_count_from_0_or_1_is_refused(answer: Any) -> None:
    said = refusal({"options": list(OPTIONS), "answer": answer})
    assert (
        "the key in column answer can be read in 2 ways (from0, from1) that point to different options; say which"
        in said
    )


def test_the_user_can_say_how_the_key_is_written() -> None:
    row = {"options": list(OPTIONS), "answer": 2}
    asked = {"input": "question", "options": "options"}
    assert answered(row, **asked, output="answer:from0").output == "C"
    assert answered(row, **asked, output="answer:from1").output == "B"
    blood = {"options": ["O", "A", "B", "AB"], "answer": "A"}
    assert "can be read in 2 ways (letter, text)" in refusal(blood)
    assert answered(blood, **asked, output="answer:text").output == "B"
    assert answered(blood, **asked, output="answer:letter").output == "A"


def test_a_number_outside_the_options_says_that_it_may_count_otherwise() -> None:
    row = {**dict(zip(("opa", "opb", "opc", "opd"), OPTIONS)), "cop": 4}
    assert (
        "a number outside the 4 options counted from0; say how it counts: output=cop:from0 or output=cop:from1"
        in refusal(row)
    )


def test_an_answer_that_is_a_number_too_large_for_an_index_is_the_text_of_an_option() -> None:
    assert answered({"options": ["5", "10", "15"], "answer": "10"}).output == "B"
    assert "can be read in" in refusal({"options": ["1", "2", "3"], "answer": "2"})
    assert "(text, text of another option)" in refusal({"options": ["x", "x"], "answer": "x"})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"options": list(OPTIONS), "answer_idx": -1}, "the key is hidden"),
        ({"options": list(OPTIONS), "answer": ""}, "the key is hidden"),
        ({"options": list(OPTIONS), "answer": None}, "the key is hidden"),
        ({"options": list(OPTIONS), "answer": "kidney"}, "the key is none of the options"),
        ({"options": ["heart", ""], "answer": "A"}, "an option is empty"),
        ({"options": ["heart"], "answer": "A"}, "there are fewer than two options"),
        ({"options": None, "answer": "A"}, "there are fewer than two options"),
    ],
)
def test_a_question_without_a_usable_key_is_left_out_and_counted(row: dict[str, Any], reason: str) -> None:
    assert skipped(row) == reason


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"options": "heart, lung", "answer": "A"}, "column options holds text that is no JSON list"),
        ({"options": 5, "answer": "A"}, "column options holds a value of type int and not a list of options"),
        ({"options": list(OPTIONS), "answer": ["A", "B"]}, "a question with several right answers is not read"),
        ({"options": list(map(str, range(30))), "answer": "A"}, "there are 30 options, more than letters"),
    ],
)
def test_what_is_no_multiple_choice_is_said(row: dict[str, Any], said: str) -> None:
    assert said in refusal(row)


def test_a_second_sentence_before_the_options_is_kept() -> None:
    row = {"sent1": "A man falls.", "sent2": "He", "ending0": "stands.", "ending1": "sits.", "label": 0}
    (example,) = examples(Located(row, "x.jsonl", "line", 7), ())
    assert example.input == {"sent1": "A man falls.", "sent2": "He"}
    (example,) = examples(Located({**row, "sent2": ""}, "x.jsonl", "line", 7), ())
    assert example.input == "A man falls."
