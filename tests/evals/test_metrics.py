"""What counts as right."""

from __future__ import annotations

from typing import Any

import pytest

from medslm.evals import metrics

KEY = {"chapter": "Certain infectious and parasitic diseases", "code": "A02.21"}


def judge(reply: str, format: str = "toon") -> dict[str, int]:
    return metrics.coding({"key": KEY, "format": format}, [reply])


def test_the_key_itself_is_right_in_every_way() -> None:
    right = judge("chapter: Certain infectious and parasitic diseases\ncode: A02.21")
    assert right == {
        "chapter_accuracy": 1,
        "category_accuracy": 1,
        "code_accuracy": 1,
        "valid_code": 1,
        "strict_parse": 1,
        "unparseable": 0,
    }


def test_prose_is_unparseable_and_nothing_in_it_is_right() -> None:
    prose = judge("This is A02.21, I think, of the chapter on infections.")
    assert prose.pop("unparseable") == 1
    assert not any(prose.values())


def test_the_right_category_with_another_code_is_half_right() -> None:
    half = judge("chapter: Neoplasms\ncode: A02.9")
    assert (half["chapter_accuracy"], half["category_accuracy"], half["code_accuracy"]) == (0, 1, 0)
    assert half["valid_code"] == 1


def test_a_preamble_costs_the_strict_parse_and_not_the_answer() -> None:
    told = judge("Sure! Here it is:\n\nChapter: Certain infectious and parasitic diseases\nCode: a0221\nBye.")
    assert (told["strict_parse"], told["code_accuracy"], told["chapter_accuracy"]) == (0, 1, 1)


@pytest.mark.parametrize("code", ["Z99.999999", "", "9", "A00-A09", "1000000"])
def test_what_is_no_code_is_not_valid(code: str) -> None:
    assert judge(f"chapter: Neoplasms\ncode: {code}")["valid_code"] == 0


@pytest.mark.parametrize(
    "name", ["9", "Chapter 9", "IX", "chapter ix", "DISEASES OF THE CIRCULATORY SYSTEM", "Chapter 9."]
)
def test_a_chapter_may_be_named_by_title_or_number(name: str) -> None:
    assert metrics.chapter(name) == "9"


@pytest.mark.parametrize("name", ["", "chapter", "23", "circulatory"])
def test_no_chapter_is_guessed(name: str) -> None:
    assert metrics.chapter(name) is None


def test_the_likeliest_letter_is_the_pick() -> None:
    document: dict[str, Any] = {"letters": ["A", "B", "C"], "key": "C", "choices": ["one", "two", "four"]}
    scores = [(-3.0, False), (-2.0, False), (-1.0, True)]
    assert metrics.choice(document, scores) == {"accuracy": 1, "accuracy_norm": 1}


def test_a_long_choice_may_win_by_the_byte_alone() -> None:
    document: dict[str, Any] = {"letters": ["A", "B"], "key": "B", "choices": ["short", "a far longer one"]}
    assert metrics.choice(document, [(-5.0, False), (-8.0, False)]) == {"accuracy": 0, "accuracy_norm": 1}


def test_the_first_of_equals_is_the_pick() -> None:
    assert metrics.pick("AB", [-1.0, -1.0]) == "A"


EXAM: dict[str, Any] = {"letters": ["A", "B"], "key": "B", "options": ["short", "a far longer one"]}


def scores(*logprobs: float) -> list[tuple[float, bool]]:
    return [(logprob, False) for logprob in logprobs]


def test_letters_and_words_are_judged_apart_and_words_by_the_byte() -> None:
    assert metrics.lettered(EXAM, scores(-1.0, -2.0, -5.0, -8.0)) == {"accuracy": 0, "words_accuracy": 1}
    assert metrics.lettered(EXAM, scores(-2.0, -1.0, -5.0, -80.0)) == {"accuracy": 1, "words_accuracy": 0}


def test_white_space_around_an_option_is_no_part_of_its_length() -> None:
    padded = {**EXAM, "options": ["short   \t        ", " a far longer one"]}
    assert metrics.lettered(padded, scores(-1.0, -2.0, -5.0, -8.0)) == {"accuracy": 0, "words_accuracy": 1}


@pytest.mark.parametrize(("before", "changed"), [("A", 0), ("B", 1)])
def test_an_answer_has_changed_if_another_option_is_chosen_and_not_another_letter(before: str, changed: int) -> None:
    document = {"letters": ["A", "B"], "key": "A", "order": [1, 0], "before": before}
    assert metrics.shuffled(document, scores(-2.0, -1.0)) == {"accuracy": 0, "changed": changed}  # B is the former A


@pytest.mark.parametrize(("reply", "right", "unparseable"), [("Answer: B", 1, 0), ("Answer: A", 0, 0), ("Well.", 0, 1)])
def test_an_answer_that_cannot_be_read_is_counted_by_itself(reply: str, right: int, unparseable: int) -> None:
    assert metrics.reasoned(EXAM, [reply]) == {"accuracy": right, "unparseable": unparseable}
