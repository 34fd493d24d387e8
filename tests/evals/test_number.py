"""Which number a worked answer gives, in the shapes that models write; and that none is guessed."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medslm.evals import number
from medslm.evals.number import BOX, LAST, MARK, WORDS
from medslm.evals.parsing import EMPTY, NOTHING, UNFINISHED

READ = [
    ("3 + 4 = 7\n#### 7", "7", MARK),
    ("#### -5", "-5", MARK),
    ("#### \u22125", "-5", MARK),
    ("#### **18**", "18", MARK),
    ("#### 3\nI mean\n#### 4", "4", MARK),
    (r"So \boxed{42} it is, out of 50.", "42", BOX),
    (r"\boxed{\$1{,}000}", "1000", BOX),
    (r"\boxed{\text{12 apples}}", "12", BOX),
    ("The answer is 12 km, and not 13.", "12", WORDS),
    ("**Answer:** 9.", "9", WORDS),
    ("The answer is 3. No, the answer is 4.", "4", WORDS),
    ("The final answer is: about -$30", "-30", WORDS),
    ("She has 3 + 4 = **7** apples.", "7", LAST),
    ("It takes 5-6 days", "6", LAST),
    ("14 = 2*7", "7", LAST),
    ("18%", "18", LAST),
    ("7 dollars. The answer is seven.", "7", LAST),
    ("<think>\nmaybe 3\n</think>\n<response>\n#### 4\n</response>", "4", MARK),
    ("#### 7\n\nQuestion: How many are 2 and 2?\n#### 4", "7", MARK),
    ("so 9 * 2 = 18.\n#### 18", "18", MARK),
    ("#### $1,234.50", "1234.5", MARK),
    ("#### 72 clips", "72", MARK),
    ("#### 5\nNo, again.\n#### 6", "6", MARK),
    ("The answer is 5.\n#### 6", "6", MARK),
    ("\\boxed{\\frac{3}{4}}", "3/4", BOX),
    ("$\\boxed{\\text{18 dollars}}$", "18", BOX),
    ("\\boxed{12,345}", "12345", BOX),
    ("\\boxed{x = 10 - 4 = 6}", "6", BOX),
    ("The answer is 1 1/2 cups.", "3/2", WORDS),
    ("The answer is 10 - 4 = 6.", "6", WORDS),
    ("The answer is **72**.", "72", WORDS),
    ("The answer is 7. There are 3 days.", "7", WORDS),
    ("So the final answer is: 1,080 grams.", "1080", WORDS),
    ("Answer: 3/4", "3/4", WORDS),
    ("The answer is .5", "1/2", WORDS),
    ("The answer to this problem is $18.00", "18", WORDS),
    ("Answer: 12\n\nQuestion: How many?\nAnswer: 13", "12", WORDS),
    ("1½ cups", "3/2", LAST),
    ("½", "1/2", LAST),
    ("She has 5 apples and 6 pears", "6", LAST),
    ("It costs $1,000,000", "1000000", LAST),
    ("10,000.", "10000", LAST),
    ("18kg", "18", LAST),
    ("50 \\%", "50", LAST),
    ("-5", "-5", LAST),
    ("−5 degrees", "-5", LAST),
    ("-$5", "-5", LAST),
    ("$-5", "-5", LAST),
    ("5 - 3", "3", LAST),
    ("5-3", "3", LAST),
    ("2*3", "3", LAST),
    ("1.2 x 10^3", "1200", LAST),
    ("1.2×10³", "1200", LAST),
    ("1.2 \\times 10^{-3}", "0.0012", LAST),
    ("3e5", "300000", LAST),
    ("12\u202f345\u202f678", "12345678", LAST),
    ("Janet makes $9 * 2 = $18 every day.", "18", LAST),
    ("<think>The answer is 5</think>\n6", "6", LAST),
]
UNREADABLE = [
    ("", EMPTY),
    ("<think>5", UNFINISHED),
    ("vitamin B12", NOTHING),
    ("3:30", NOTHING),
    ("version 1.2.3", NOTHING),
    ("1,5", NOTHING),  # one and a half in Europe, one and five elsewhere
    ("1,234,56", NOTHING),
    ("x = 5/0", NOTHING),
    ("1" * 5000, NOTHING),  # a model that came to no end
    ("1/" + "9" * 5000, NOTHING),
    ("The answer is not known", NOTHING),
]


@pytest.mark.parametrize(("reply", "value", "rule"), READ)
def test_a_number_is_read_exactly_and_by_the_rule_that_is_named(reply: str, value: str, rule: str) -> None:
    assert number.read(reply) == (Fraction(value), rule)


@pytest.mark.parametrize(("reply", "failure"), UNREADABLE)
def test_what_gives_no_number_says_why(reply: str, failure: str) -> None:
    assert number.read(reply) == (None, failure)


@pytest.mark.parametrize(
    ("key", "value"), [("1,080", 1080), ("$5", 5), ("3/4", Fraction(3, 4)), ("95%", 95), ("-7", -7)]
)
def test_a_key_is_a_number_and_nothing_more(key: str, value: Fraction | int) -> None:
    assert number.whole(key) == value


@pytest.mark.parametrize("key", ["5 mg", "Thyroid gland", "2 or 3", "", "B", "10-20"])
def test_a_key_of_words_is_no_number(key: str) -> None:
    assert number.whole(key) is None


WORDINGS = ("#### {}", "\\boxed{{{}}}", "The answer is {}.", "Answer: {}", "So we get ${}.", "That makes {} cups")


@given(
    st.integers(0, 10**9), st.integers(0, 99), st.sampled_from(WORDINGS), st.sampled_from(["", "2 + 3 = 5, then.\n"])
)
def test_a_number_with_separators_and_decimals_is_read_back(whole: int, cents: int, wording: str, before: str) -> None:
    shown = f"{whole:,}.{cents:02d}"
    assert number.read(before + wording.format(shown))[0] == Fraction(shown.replace(",", ""))


PIECES = st.sampled_from(
    ["1", ",", ".", "/", "-", "$", " ", "####", "\\boxed{", "}", "answer is", "e", "^", "½", "0", "\n", "x 10"]
)


@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=14).map("".join)))
def test_any_text_is_read_without_an_error(reply: str) -> None:
    value, rule = number.read(reply)
    assert (value is None) == (rule in (EMPTY, NOTHING, UNFINISHED))


@pytest.mark.parametrize(
    ("reply", "right", "strict", "unparseable"),
    [("#### 1080", 1, 1, 0), ("It is 1,080", 1, 0, 0), ("#### 108", 0, 1, 0), ("Many.", 0, 0, 1)],
)
def test_a_working_is_right_if_it_ends_in_the_keys_number(
    reply: str, right: int, strict: int, unparseable: int
) -> None:
    measured = number.worked({"key": "1,080"}, [reply])
    assert measured == {"accuracy": right, "strict_parse": strict, "unparseable": unparseable}


def test_equal_numbers_are_equal_however_they_are_written() -> None:
    assert number.worked({"key": "1,000"}, ["#### 1000.00"]) == {
        "accuracy": 1.0,
        "strict_parse": 1.0,
        "unparseable": 0.0,
    }


def test_a_number_that_was_only_the_last_is_right_but_not_stated() -> None:
    assert number.worked({"key": "7"}, ["She has 3 + 4 = 7"]) == {
        "accuracy": 1.0,
        "strict_parse": 0.0,
        "unparseable": 0.0,
    }


def test_a_reply_without_a_number_is_wrong_and_counted() -> None:
    assert number.worked({"key": "0"}, ["none"]) == {"accuracy": 0.0, "strict_parse": 0.0, "unparseable": 1.0}
