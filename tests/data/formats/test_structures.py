"""Named parts: what is written in TOON and JSON comes back as it was, and what a model writes badly is read as far as it goes."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medslm.data.example import Example
from medslm.data.formats import Answer, fields_of, formats
from medslm.data.formats.notation import fits

UNICODE = st.characters(exclude_categories=["Cs"])
SYNTAX = st.text(st.sampled_from('ab01eE.+-:,;|#[]{}()"\\/\n\r\t \x00\u00a0\u2028_'), max_size=20)
TEXT = SYNTAX | st.text(UNICODE, max_size=20) | st.sampled_from(["250.00", "1E50", "null", "true", "007", "[2]: a", ""])
COLUMN = st.sampled_from(["code", "title", "a b", "x:y", "a[2]", "b{c}", "1", '"', ""])
TABLE = st.lists(COLUMN, min_size=1, max_size=3, unique=True).flatmap(
    lambda names: st.lists(st.fixed_dictionaries(dict.fromkeys(names, TEXT)), max_size=4)
)
RAGGED = st.lists(st.dictionaries(COLUMN, TEXT | st.lists(TEXT, max_size=2), min_size=1, max_size=3), max_size=3)
NESTED = st.dictionaries(COLUMN, TEXT | TABLE, min_size=1, max_size=3)
STRUCTURE = st.fixed_dictionaries(
    {"diagnoses": TABLE | RAGGED, "codes": st.lists(TEXT, max_size=4), "patient": NESTED, "note": TEXT}
)
PLAYED = settings(deadline=None, derandomize=True, max_examples=300)
LOSSLESS = ["json", "toon", "toon-countless"]
ROWS = [{"code": "I10", "title": "Hypertension"}, {"code": "250.00", "title": "Diabetes"}]
FIELDS = ("diagnoses[]",)


def example(output: Any) -> Example:
    return Example("1", "List.", "text", output, "f")


@pytest.mark.parametrize("name", LOSSLESS)
@given(fields=STRUCTURE)
@PLAYED
def test_hostile_tables_lists_and_texts_come_back_as_they_were(name: str, fields: dict[str, Any]) -> None:
    read = formats[name].read(formats[name].answer_of(example(fields)), fields_of(fields))
    assert read.fields == fields
    assert read.parse_strict
    assert read.count_ok is (True if name == "toon" else None)


@pytest.mark.parametrize("name", LOSSLESS)
@given(fields=st.fixed_dictionaries({"chapter": TEXT, "code": TEXT}))
@PLAYED
def test_hostile_texts_come_back_as_they_were(name: str, fields: dict[str, str]) -> None:
    assert formats[name].read(formats[name].answer_of(example(fields)), ("chapter", "code")) == Answer(fields)


def test_plain_lines_come_back_where_no_text_imitates_them() -> None:
    fields = {"diagnoses": ROWS, "codes": ["a", "b"], "patient": {"age": "54", "sex": "F"}, "note": "well", "none": []}
    plain = formats["chat"]
    assert plain.read(plain.answer_of(example(fields)), fields_of(fields)) == Answer(fields)


def test_the_kind_of_a_field_stands_behind_its_name_and_tells_nothing_of_its_elements() -> None:
    assert fields_of({"a": "text", "b": [], "c": ROWS, "d": {}}) == ("a", "b[]", "c[]", "d{}")
    assert fields_of("text") == ()
    asked = {name: format.question_of(example({"c": ROWS})) for name, format in formats.items()}
    assert asked == {name: format.question_of(example({"c": []})) for name, format in formats.items()}
    assert asked == {name: format.question_of(example({"c[]": ""})) for name, format in formats.items()}


@pytest.mark.parametrize(
    ("value", "field"), [("a", "x[]"), ([], "x"), ({}, "x[]"), (["a", 1], "x[]"), (None, "x"), (1, "x")]
)
def test_a_value_of_another_kind_is_no_answer(value: Any, field: str) -> None:
    assert not fits(value, field)


@pytest.mark.parametrize(
    ("reply", "rows", "count_ok"),
    [
        ("diagnoses[3]{code,title}:\n  I10,Hypertension\n  250.00,Diabetes", ROWS, False),
        ("diagnoses[]{code,title}:\n  I10,Hypertension\n  250.00,Diabetes", ROWS, False),
        ("diagnoses[2]{code,title}:\nI10,Hypertension\n250.00,Diabetes", ROWS, True),
        ("Here:\ndiagnoses[2]{code,title}:\n  I10,Hypertension\n  250.00,Diabetes\n\nThat is all.", ROWS, True),
        ("diagnoses[1]{code,title}:\n  I10,Pain, in the chest", [{"code": "I10", "title": "Pain, in the chest"}], True),
        ("diagnoses[2]{code,title}:\n  I10,Pain: chest\n  A00", [{"code": "I10", "title": "Pain: chest"}], False),
        ('diagnoses[1]{code,title}:\n  I10,"Pain: ""x', [{"code": "I10", "title": 'Pain: ""x'}], True),
        ("diagnoses[1]{code,title,site}:\n  I10,Pain", [{"code": "I10", "title": "Pain", "site": ""}], True),
        ("diagnoses:\n- code: I10; title: Hypertension\n- code: 250.00; title: Diabetes", ROWS, None),
    ],
)
def test_a_table_written_badly_is_repaired_row_by_row_and_flagged(
    reply: str, rows: list[dict[str, str]], count_ok: bool | None
) -> None:
    read = formats["toon"].read(reply, FIELDS)
    assert read == Answer({"diagnoses": rows}, repaired=True, count_ok=count_ok)
    assert read.parse_lenient and not read.parse_strict


@pytest.mark.parametrize(("reply", "count_ok"), [("codes[3]: a,b", False), ("codes[2]:\n  - a\n  - b", True)])
def test_a_list_of_texts_is_counted_too(reply: str, count_ok: bool) -> None:
    read = formats["toon"].read(reply, ("codes[]",))
    assert (read.fields, read.count_ok, read.repaired) == ({"codes": ["a", "b"]}, count_ok, not count_ok)


def test_lengths_inside_of_a_list_are_mended_too() -> None:
    reply = "diagnoses[1]:\n  - codes[9]: a,b\n    rows[9]{x,y}:\n      c,d\n    more: e\n  - codes[0]: f\n    more: g"
    rows = [{"codes": ["a", "b"], "rows": [{"x": "c", "y": "d"}], "more": "e"}, {"codes": ["f"], "more": "g"}]
    read = formats["toon"].read(reply, FIELDS)
    assert read == Answer({"diagnoses": rows}, repaired=True, count_ok=False)


def test_the_countless_format_flags_a_count_only_if_it_is_wrong() -> None:
    reply = "diagnoses[{}]{{code,title}}:\n  I10,Hypertension\n  250.00,Diabetes"
    read = [formats["toon-countless"].read(reply.format(count), FIELDS) for count in ("", "2", "3")]
    assert [answer.fields for answer in read] == [{"diagnoses": ROWS}] * 3
    assert [answer.repaired for answer in read] == [False, False, True]


def test_what_is_missing_is_named() -> None:
    read = formats["toon"].read("note: well", ("note", "diagnoses[]"))
    assert (read.fields, read.missing) == ({"note": "well"}, ("diagnoses[]",))
    assert not read.parse_lenient


@pytest.mark.parametrize(
    ("reply", "fields"),
    [
        ('Sure: {"code":"I10"} I hope this helps {"code":"no"}', {"code": "I10"}),
        ('```json\n{"code": 250.00}\n```', {"code": "250.00"}),
        ('{"thought": {"code": "inner"}} {"code": "I10"}', {"code": "I10"}),
        (
            '{"code":"I10","diagnoses":[{"x":"1"}, {"x":"2"},{"x":',
            {"code": "I10", "diagnoses": [{"x": "1"}, {"x": "2"}]},
        ),
        ('{"diagnoses":["a", "b", "c', {"diagnoses": ["a", "b"]}),
        ('{"code":null}', {}),
        ('[{"code":"I10"}]', {"code": "I10"}),
        ("I do not know.", {}),
    ],
)
def test_a_broken_json_reply_is_read_as_far_as_it_is_whole_and_flagged(reply: str, fields: dict[str, Any]) -> None:
    read = formats["json"].read(reply, ("code", "diagnoses[]"))
    assert (read.fields, read.repaired) == (fields, True)


def test_a_json_number_is_the_text_it_was_written_as() -> None:
    assert formats["json"].read('{"code": 250.00}', ("code",)) == Answer({"code": "250.00"})


@pytest.mark.parametrize("name", sorted(formats))
@given(
    reply=st.lists(
        SYNTAX
        | st.text()
        | st.sampled_from(["diagnoses", "[2]", "[]", "{a,b}", ":\n", "  - ", '":', "<think>", "</response>"])
    ).map("".join)
)
@PLAYED
def test_no_reply_makes_a_reader_of_structures_fail(name: str, reply: str) -> None:
    fields = ("diagnoses[]", "patient{}", "note")
    read = formats[name].read(reply, fields)
    assert {*read.fields} <= {"diagnoses", "patient", "note"}
    assert len(read.fields) + len(read.missing) == len(fields)


@pytest.mark.parametrize("name", sorted(formats))
@pytest.mark.parametrize(
    "reply",
    [
        '{"a":' * 5_000,
        "{" * 20_000,
        '"diagnoses": [' + "[" * 20_000,
        'diagnoses[2]{a,b}:\n  "' + "\\" * 20_000,
        "diagnoses[1]{" * 2_000,
        "diagnoses[1]{a,b}:\n" + "  x,y\n" * 5_000,
        "diagnoses[" + "9" * 5_000 + "]{a}:\n  x",
        "diagnoses:\n" + "- a: b; " * 5_000,
        "<think>\n" * 5_000 + "</think>\n" * 5_000,
    ],
)
def test_a_runaway_reply_is_read_in_time(name: str, reply: str) -> None:
    started = time.process_time()
    formats[name].read(reply, ("diagnoses[]", "note"))
    assert time.process_time() - started < 5


def tokens(text: str) -> int:
    """A tokenizer that thinks nothing of braces."""
    return len(text) - 50 * text.count("{")


def test_a_part_of_an_input_is_written_in_what_costs_less() -> None:
    given = {"labs": ROWS, "note": "one\ntwo"}
    toon = formats["toon"]
    assert toon.input_of(given) == 'labs[2]{code,title}:\n  I10,Hypertension\n  "250.00",Diabetes\n\nnote:\none\ntwo'
    assert toon.input_of(given, tokens).startswith('labs: [{"code":"I10"')
    assert toon.input_of(given, lambda _: 1).startswith("labs[2]")  # TOON if they cost the same


@pytest.mark.parametrize("name", sorted(formats))
def test_a_long_text_is_never_encoded(name: str) -> None:
    note = 'First: "line"\n\n  second, line\n{"third": 1}'
    assert formats[name].input_of({"note": note, "age": "54"}) == f"note:\n{note}\n\nage: 54"
    assert formats[name].input_of({"note": '{"a": 1}'}) == 'note:\n{"a": 1}'  # on the line of its name it would be JSON
    assert formats[name].input_of(note) == note
