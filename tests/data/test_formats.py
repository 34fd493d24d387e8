"""What a format writes it reads back, and no reply of a model is too strange to be read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medslm.data.example import Example
from medslm.data.formats import Answer, Format, formats
from medslm.errors import MedslmError

TOON, CHAT = formats["toon"], formats["chat"]
FIELDS = ("chapter", "code")
UNICODE = st.characters(exclude_categories=["Cs"])  # halves of surrogate pairs are no text: no tokenizer takes them
ANYTHING = st.text(UNICODE, max_size=40)
SYNTAX = st.text(st.sampled_from('ab01eE.+-:,|#[]{}()"\\/\n\r\t \x00\u00a0\u2028_'), max_size=20)
PLAYED = settings(deadline=None, derandomize=True, max_examples=300)


def example(output: str | dict[str, str], options: tuple[str, ...] = ()) -> Example:
    return Example("1", "Code it.", "Typhoid fever", output, "A01", options)


@given(chapter=ANYTHING | SYNTAX, code=ANYTHING | SYNTAX)
@PLAYED
def test_hostile_text_comes_back_through_toon_as_it_was(chapter: str, code: str) -> None:
    fields = {"chapter": chapter, "code": code}
    assert TOON.read(TOON.answer_of(example(fields)), FIELDS) == Answer(fields, repaired=False)


@pytest.mark.parametrize("code", ["1E50", "250.00", "007", "-1", "1e5", "null", "true", "E11.9", "0x1F", "1_000", ""])
def test_a_code_that_looks_like_a_number_stays_text(code: str) -> None:
    fields = {"chapter": "Endocrine", "code": code}
    assert TOON.read(TOON.write(fields), FIELDS) == Answer(fields)


@pytest.mark.parametrize("code", ["1E50", "250.00", "007", "1e5", "E11.9", "90210"])
def test_a_model_that_forgets_the_quotes_of_a_code_is_understood(code: str) -> None:
    assert TOON.read(f"chapter: Endocrine\ncode: {code}", FIELDS) == Answer({"chapter": "Endocrine", "code": code})


@pytest.mark.parametrize(
    ("reply", "fields"),
    [
        ("chapter: A\ncode: B00\n\nI hope this helps!", {"chapter": "A", "code": "B00"}),
        ("Sure! Here it is:\nCode: B00\nChapter: A", {"chapter": "A", "code": "B00"}),
        ("chapter: A\r\ncode: B00\r\nThe end", {"chapter": "A", "code": "B00"}),
        ('chapter: "A\ncode: B00', {"chapter": "A", "code": "B00"}),
        ("chapter: A\ncode: B00\ncode: C00", {"chapter": "A", "code": "B00"}),
        ("code: B00", {"code": "B00"}),
        ("chapter:\n  nested: A\ncode: null", {"code": "null"}),
        ("I do not know.", {}),
        ("", {}),
    ],
)
def test_a_reply_read_by_the_lenient_reader_is_flagged(reply: str, fields: dict[str, str]) -> None:
    missing = tuple(name for name in FIELDS if name not in fields)
    assert TOON.read(reply, FIELDS) == Answer(fields, repaired=True, missing=missing)


def test_a_valid_reply_with_more_fields_than_asked_is_not_flagged() -> None:
    assert TOON.read("why: because\nchapter: A\ncode: B00\n", FIELDS) == Answer({"chapter": "A", "code": "B00"})


@pytest.mark.parametrize("name", sorted(formats))
@given(reply=ANYTHING | SYNTAX | st.lists(SYNTAX | st.sampled_from(["chapter: ", "code[2]{a,b}:", "- "])).map("".join))
@PLAYED
def test_no_reply_makes_a_reader_fail(name: str, reply: str) -> None:
    read = formats[name].read(reply, FIELDS)
    assert set(read.fields) <= set(FIELDS)
    assert all(isinstance(value, str) for value in read.fields.values())


@pytest.mark.parametrize("name", sorted(formats))
@pytest.mark.parametrize(
    "reply", ["[" * 20_000, "- " * 5_000, "a[1]: " * 3_000, "code: x" + " " * 50_000 + "y", "\ud800"]
)
def test_a_runaway_reply_is_read_too(name: str, reply: str) -> None:
    assert "chapter" not in formats[name].read(reply, FIELDS).fields


@given(chapter=UNICODE.filter(str.isalnum), code=ANYTHING.filter(str.strip))
@PLAYED
def test_the_plain_format_keeps_everything_but_white_space(chapter: str, code: str) -> None:
    fields = {"chapter": chapter, "code": code}
    read = CHAT.read(CHAT.answer_of(example(fields)), FIELDS)
    assert read == Answer({"chapter": chapter, "code": " ".join(code.split())})


def test_a_field_is_not_found_in_the_name_of_another() -> None:
    assert CHAT.read("subchapter: A\nmy code: B00\ncodes: C00", FIELDS) == Answer({}, missing=FIELDS)


@pytest.mark.parametrize("name", sorted(formats))
def test_a_question_says_what_to_do_how_to_answer_and_to_what(name: str) -> None:
    asked = formats[name].question_of(example({"chapter": "A", "code": "B00"}))
    head, _, text = asked.partition("\n\n")
    assert head.startswith("Code it. ") and "chapter, code" in head
    assert text == "Typhoid fever"


def test_the_options_of_a_lettered_question_are_shown_and_its_answer_is_a_letter() -> None:
    lettered = example("B", options=("one", "two", "three"))
    assert TOON.question_of(lettered) == "Code it.\n\nTyphoid fever\nA. one\nB. two\nC. three"
    assert (TOON.choices_of(lettered), TOON.key_of(lettered)) == (["A", "B", "C"], 1)


@pytest.mark.parametrize("name", sorted(formats))
def test_the_options_of_a_field_are_not_shown_and_are_written_as_answers_are(name: str) -> None:
    titles = ("Neoplasms", "1E50", "Diseases: other")
    for index, title in enumerate(titles):
        item, format = example({"chapter": title, "code": "B00"}, options=titles), formats[name]
        assert not any(hidden in format.question_of(item) for hidden in titles)
        assert format.key_of(item) == index
        assert format.answer_of(item).startswith(format.choices_of(item)[index])


def test_a_key_that_is_no_option_is_an_error() -> None:
    with pytest.raises(ValueError, match="not in"):
        TOON.key_of(example({"chapter": "A"}, options=("B", "C")))


@pytest.mark.parametrize("output", ["  text \n", {"chapter": "A", "code": "B00"}])
@pytest.mark.parametrize("name", sorted(formats))
def test_an_answer_has_no_white_space_at_its_ends(name: str, output: str | dict[str, str]) -> None:
    answer = formats[name].answer_of(example(output))
    assert answer and answer == answer.strip()


def test_an_unknown_format_names_those_there_are() -> None:
    with pytest.raises(
        MedslmError, match=r"no format is called 'tooon'; did you mean 'toon'\? known: chat, instruct, json, "
    ):
        formats["tooon"]
    assert all(isinstance(format, Format) for format in formats.values())
