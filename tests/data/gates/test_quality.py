"""Every finding is let in by its door and named; what looks like it is not; and only what nobody can learn from is dropped."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest

from medslm.data.example import Example
from medslm.data.gates import quality
from medslm.data.gates.quality import balance, inspect

PLAIN = Example(
    "1",
    "Answer the question.",
    "What is the first sign of measles?",
    "A fever, then small white spots in the mouth.",
    "f",
)
CHOICE = replace(PLAIN, options=("fever", "rash", "cough", "pain"), output="B")
FIELDS = replace(PLAIN, options=("fever", "rash"), output={"sign": "rash", "code": "B05"})
GERMAN = "Der Patient klagt seit drei Tagen über starke Kopfschmerzen und Übelkeit."


def names(of: Example = PLAIN, **change: Any) -> tuple[str, ...]:
    return inspect(replace(of, **change)).names


@pytest.mark.parametrize(
    "honest", [PLAIN, CHOICE, FIELDS, replace(PLAIN, output={"sign": "fever", "list": ["a", "b"]})]
)
def test_an_honest_example_has_no_finding(honest: Example) -> None:
    found = inspect(honest)
    assert (found.names, found.drops, found.language) == ((), False, "en")


@pytest.mark.parametrize("asked", [{"instruction": "", "input": ""}, {"instruction": " ", "input": {"note": "\n"}}])
def test_a_text_to_be_continued_is_told_from_a_question_and_kept(asked: dict[str, Any]) -> None:
    found = inspect(replace(PLAIN, **asked))
    assert quality.CONTINUED in found.names
    assert not found.drops


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"output": ""}, quality.EMPTY),
        ({"output": "\u00a0\n"}, quality.EMPTY),
        ({"output": {}}, quality.EMPTY),
        ({"output": {"code": ""}}, quality.EMPTY),
        ({"options": ("a", "b"), "output": "C"}, quality.WRONG_KEY),
        ({"options": ("a", "b"), "output": "AB"}, quality.WRONG_KEY),
        ({"options": ("a", "b"), "output": "a"}, quality.WRONG_KEY),
        ({"options": ("a", "b"), "output": {"sign": "c", "code": "a"}}, quality.WRONG_KEY),
    ],
)
def test_what_nobody_can_learn_from_is_named_and_dropped(change: dict[str, Any], finding: str) -> None:
    found = inspect(replace(PLAIN, **change))
    assert finding in found.names
    assert found.drops


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"reasoning": " \n"}, quality.BLANK),
        ({"turns": (("user", " "),)}, quality.BLANK),
        ({"options": ("rash", " rash", "cough", "pain"), "output": "C"}, quality.REPEATED_OPTION),
        ({"output": PLAIN.text + " "}, quality.ECHO),
        ({"input": f"Note: {PLAIN.answer} End."}, quality.QUOTE),
        ({"turns": (("assistant", str(PLAIN.output)),)}, quality.QUOTE),
        ({"input": "Fi\ufffdvre"}, quality.REPLACED),
        ({"output": "Itâ€™s measles."}, quality.MOJIBAKE),
        ({"input": "a temperature of 101 Â°F"}, quality.MOJIBAKE),
        ({"options": ("cafÃ©-au-lait spots", "b"), "output": "A"}, quality.MOJIBAKE),
        ({"input": "a\x00b"}, quality.CONTROL),
        ({"input": "a\x7fb"}, quality.CONTROL),
        ({"input": "\ufefffever"}, quality.CONTROL),
        ({"input": "a \u202eb"}, quality.CONTROL),
        ({"input": "one<br/>two"}, quality.HTML),
        ({"input": {"note": 'see <A HREF="x">this</A>'}}, quality.HTML),
        ({"input": "fever &amp; rash"}, quality.HTML),
        ({"reasoning": "5 &#8804; 6"}, quality.HTML),
        ({"input": "aGVsbG8gd29ybGQ" * 4}, quality.UNBROKEN),
        ({"input": GERMAN}, quality.LANGUAGE),
        ({"output": GERMAN}, quality.LANGUAGE),
    ],
)  # fmt: skip
def test_what_is_doubtful_is_named_and_kept(change: dict[str, Any], finding: str) -> None:
    found = inspect(replace(PLAIN, **change))
    assert found.names == (finding,)
    assert not found.drops


@pytest.mark.parametrize(
    "text",
    [
        "p<0.05 and n>12",
        "if a <b and c> d then stop",
        "temperature < 38 °C & pulse > 100; AT&T",
        "naïve café, São Tomé, NÃO, Å, β₂ ≥ 3 µg — “so”",
        "one\ttwo\r\nthree",
        "pneumonoultramicroscopicsilicovolcanoconiosis",
        "胃炎" * 40,
    ],
)
def test_what_only_looks_wrong_is_not_named(text: str) -> None:
    assert names(input=text) == ()


def test_white_space_and_accents_do_not_hide_an_echo() -> None:
    assert names(input="caf\u00e9  au\nlait", output="cafe\u0301 au lait") == (quality.ECHO,)


def test_a_short_answer_that_stands_in_the_question_is_chance() -> None:
    assert names(output="measles") == ()


def test_options_that_differ_in_case_are_two_genotypes() -> None:
    assert names(CHOICE, options=("AA", "Aa", "aa", "A")) == ()


def test_a_question_in_the_turns_alone_is_a_question() -> None:
    assert names(instruction="", input="", turns=(("user", "What is measles?"),)) == ()


def test_another_language_is_one_that_the_corpus_is_not_expected_to_speak() -> None:
    german = replace(PLAIN, input=GERMAN, output=GERMAN[:-1] + " und über Fieber.")
    found = inspect(german, expected_language="de")
    assert (found.names, found.language, found.answer_language) == ((), "de", "de")
    assert quality.LANGUAGE in inspect(PLAIN, expected_language="de").names


def test_the_instruction_is_judged_where_there_is_no_input() -> None:
    found = inspect(replace(PLAIN, instruction=GERMAN, input=""))
    assert (found.language, found.names) == ("de", (quality.LANGUAGE,))


def test_findings_travel_between_processes() -> None:
    found = inspect(replace(PLAIN, output=""))
    assert pickle.loads(pickle.dumps(found)) == found


def test_even_keys_are_as_many_classes_as_there_are_options() -> None:
    told = balance({"A": 250, "B": 250, "C": 250, "D": 250})
    assert (told["n"], told["classes"], told["most"], told["share"]) == (1000, 4, "A", 0.25)
    assert (told["entropy"], told["effective_classes"], told["warning"]) == (2.0, 4.0, None)


@pytest.mark.parametrize(
    ("answers", "options", "warning"),
    [
        ({"A": 10, "B": 45, "C": 25, "D": 20}, None, "B is the key of 45% of 100 questions with 4 options (25% would be even): set option_order=shuffled"),
        ({"A": 100}, None, "A is the key of 100% of 100 questions with 2 options"),
        ({"A": 60, "B": 40}, 5, "A is the key of 60% of 100 questions with 5 options"),
        ({"no": 900, "yes": 80, "maybe": 20}, None, "'no' is 90% of 1,000 answers"),
    ],
)  # fmt: skip
def test_an_answer_that_is_too_frequent_is_warned_of(
    answers: dict[str, int], options: int | None, warning: str
) -> None:
    told = balance(answers, options)["warning"]
    assert told is not None
    assert told.startswith(warning.replace(" (25% would be even): set option_order=shuffled", ""))
    assert str(sum(answers.values()))[:3].replace(",", "") in told.replace(",", "")


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param({"A": 39, "B": 21, "C": 20, "D": 20}, id="below 40 %"),
        pytest.param({"A": 3, "B": 1, "C": 1, "D": 1}, id="too few to tell"),
        pytest.param({"yes": 552, "no": 338, "maybe": 110}, id="a closed set that is not even"),
        pytest.param({"yes": 3}, id="three answers"),
        pytest.param({}, id="none"),
        pytest.param({"A": 0}, id="none of a kind"),
    ],
)
def test_what_chance_explains_is_not_warned_of(answers: dict[str, int]) -> None:
    assert balance(answers)["warning"] is None
