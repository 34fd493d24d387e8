"""Rows of every known shape give the examples that a reader of them would expect; what could be two things is refused."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import pytest

from medslm.data.corpus import Skip
from medslm.data.example import Example
from medslm.data.sources.readers.located import Located
from medslm.data.sources.shapes.examples import examples
from medslm.data.sources.shapes.mapping import Columns, of_corpus
from medslm.data.sources.shapes.plans import plan
from medslm.data.sources.shapes.values import Unfit
from medslm.errors import MedslmError

SECRET = "Mrs Example of 12 Any Street"


def made(row: dict[str, Any], **columns: str) -> list[Example]:
    return list(examples(Located(row, "x.jsonl", "line", 7), of_corpus(columns)))


def one(row: dict[str, Any], **columns: str) -> Example:
    (example,) = made(row, **columns)
    return example


def refusal(row: dict[str, Any], **columns: str) -> str:
    with pytest.raises(MedslmError) as refused:
        made(row, **columns)
    assert SECRET not in str(refused.value)
    assert str(refused.value).startswith("x.jsonl, line 7: ")
    return str(refused.value).removeprefix("x.jsonl, line 7: ")


def skipped(row: dict[str, Any], **columns: str) -> str:
    with pytest.raises(Skip) as left_out:
        made(row, **columns)
    return str(left_out.value)


def shape(*columns: str) -> str:
    return plan(columns, ()).shape


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ("messages prompt prompt_id", "chat messages"),
        ("id conversations system", "ShareGPT conversations"),
        ("prompt completion", "prompt and completion"),
        ("instruction input output text", "instruction and output"),
        ("instruction context response category", "instruction and output"),
        ("id instruction input output family options reasoning", "instruction and output"),
        ("input output", "input and output"),
        ("question answer", "question and answer"),
        ("ProblemType Problem Solution", "question and answer"),
        ("prompt response", "question and answer"),
        ("question context answer", "question, context and answer"),
        ("Question Complex_CoT Response", "question, thoughts and answer"),
        ("question context reasoning answer", "question, context and answer"),
        ("question options answer", "multiple choice"),
        ("question options answer answer_idx reasoning", "multiple choice"),
        ("question opa opb opc opd cop exp", "multiple choice"),
        ("question A B C D answer", "multiple choice"),
        ("sent1 sent2 ending0 ending1 ending2 ending3 label", "multiple choice"),
        ("question subject choices answer", "multiple choice"),
        ("text", "text to be continued"),
        ("id text url", "text to be continued"),
    ],
)
def test_the_names_of_the_columns_give_the_shape(columns: str, name: str) -> None:
    assert shape(*columns.split()) == name


@pytest.mark.parametrize("columns", ["text label", "dialogue note", "question", "answer", "full_text spans", "id a b"])
def test_unknown_columns_are_listed_with_how_to_say_what_they_are(columns: str) -> None:
    with pytest.raises(Unfit) as refused:
        shape(*columns.split())
    assert str(refused.value).startswith(
        f"the columns ({columns.replace(' ', ', ')}) are those of no known shape; say which"
    )
    assert "--columns input=COLUMN output=COLUMN" in str(refused.value)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("messages question answer", "could be read as chat messages (messages) or as question and answer (question, answer)"),
        ("question Question answer", "several columns could be one field: input from question, Question"),
        ("question answer response", "several columns could be one field: output from answer, response"),
        ("question options answer_idx Question Complex_CoT Response", "could be read as multiple choice (question, options, answer_idx, Question) or as question, thoughts"),
    ],
)  # fmt: skip
def test_columns_that_could_be_two_things_are_refused(columns: str, said: str) -> None:
    with pytest.raises(Unfit) as refused:
        shape(*columns.split())
    assert said in str(refused.value)


def test_columns_and_what_is_not_used_are_told() -> None:
    assert plan(("ProblemType", "Problem", "Solution"), ()).told == (
        "question and answer (input <- Problem, output <- Solution); not used: ProblemType"
    )


def test_alpaca_with_its_system_prompt() -> None:
    example = one({"instruction": "Sum up.", "input": "A note.", "output": "A sum.", "system": "Be brief."})
    assert (example.id, example.instruction, example.input, example.output) == ("7", "Sum up.", "A note.", "A sum.")
    assert example.turns == (("system", "Be brief."),)


def test_the_columns_that_this_library_writes() -> None:
    row = {"id": "a", "instruction": "Code it.", "input": {"note": "x"}, "output": "B", "family": "f", "options": ["1", "2"], "reasoning": "because", "turns": [["user", "Hi"], ["assistant", "Yes?"]]}  # fmt: skip
    turns = (("user", "Hi"), ("assistant", "Yes?"))
    assert one(row) == Example("a", "Code it.", {"note": "x"}, "B", "f", ("1", "2"), "because", turns)
    fields = {**row, "output": {"code": "2", "words": "two"}}
    assert one(fields).output == {"code": "2", "words": "two"}
    assert "the first field of the output is none of the options" in refusal({**row, "output": {"code": SECRET}})
    assert one({**row, "options": [], "output": "free"}).options == ()
    assert one({**row, "instruction": "", "input": ""}).instruction == ""
    assert "column turns holds something else than pairs" in refusal({**row, "turns": [["tool", SECRET]]})


def test_a_question_with_a_passage_has_two_named_parts_and_the_family_of_the_passage() -> None:
    first = one({"question": "Why?", "context": "A note.", "answer": "So."})
    second = one({"question": "How?", "context": "A note.", "answer": "Thus."})
    assert first.input == {"context": "A note.", "question": "Why?"}
    assert first.family == second.family
    assert one({"question": "Why?", "context": "", "answer": "So."}).input == "Why?"
    assert one({"question": "Why?", "contexts": ["a", "b"], "answer": "So."}).input == {
        "contexts": ["a", "b"],
        "question": "Why?",
    }


def test_rows_with_the_same_question_stay_together_and_others_do_not() -> None:
    families = [
        one({"question": text, "answer": answer}).family
        for text, answer in (("Why?", "1"), ("Why?", "2"), ("How?", "1"))
    ]
    assert families[0] == families[1] != families[2]
    assert one({"text": "A note."}).family == "7"


def test_thoughts_are_kept_apart_from_the_answer() -> None:
    example = one({"Question": "Why?", "Complex_CoT": "Hm.", "Response": "So."})
    assert (example.input, example.reasoning, example.output) == ("Why?", "Hm.", "So.")


def test_text_to_be_continued_has_no_question() -> None:
    example = one({"text": "Once\nupon", "url": "x"})
    assert (example.instruction, example.input, example.output) == ("", "", "Once\nupon")


@pytest.mark.parametrize("empty", [None, "", " \n", [], {"a": " "}])
def test_a_row_without_an_answer_or_question_is_left_out(empty: Any) -> None:
    assert skipped({"question": "Why?", "answer": empty}) == "the answer is empty"
    assert skipped({"question": empty, "answer": "So."}) == "the question is empty"
    assert skipped({"text": empty}) == "the answer is empty"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (3, "3"),
        (0.5, "0.5"),
        (decimal.Decimal("250.00"), "250.00"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.datetime(2026, 1, 2, 3, 4), "2026-01-02T03:04:00"),
        ({"a": 1, "b": [None, {"c": False}]}, {"a": "1", "b": ["", {"c": "false"}]}),
        ([1, "b"], {"question": ["1", "b"]}),
    ],
)
def test_every_value_becomes_text_in_one_way(value: Any, text: Any) -> None:
    assert one({"question": value, "answer": "So."}, instruction="=Do.").input == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"x", object(), {"a": b"x"}])
def test_what_is_no_text_is_refused_with_its_column(value: Any) -> None:
    assert "column question holds" in refusal({"question": value, "answer": "So."})


def test_what_is_nested_too_deeply_is_refused() -> None:
    nested: Any = "x"
    for _ in range(65):
        nested = [nested]
    assert "column question is nested deeper than 64 levels" in refusal({"question": nested, "answer": "So."})


def test_a_row_of_another_shape_than_the_first_is_refused() -> None:
    row = Located({"input": "a", "output": SECRET}, "x.jsonl", "line", 7)
    row.header = ("question", "answer")
    with pytest.raises(MedslmError) as refused:
        list(examples(row, ()))
    assert str(refused.value).startswith(
        "x.jsonl, line 7: its columns (input, output) are input and output, those of the first row were question and answer"
    )
    row.header = ("id", "input", "output")
    with pytest.raises(MedslmError, match="some rows have the column of the id and some do not"):
        list(examples(row, ()))


def test_a_row_that_has_lost_its_place_is_known_by_its_content() -> None:
    ids = {example.id for text in "aab" for example in examples({"question": text, "answer": "So."}, ())}
    assert len(ids) == 2


@pytest.mark.parametrize("id", [None, " "])
def test_an_empty_id_is_refused(id: Any) -> None:
    assert "column id is empty; give every row an id of its own" in refusal(
        {"id": id, "question": "Why?", "answer": "So."}
    )


NOTE: dict[str, Any] = {"note": "A note.", "ask": "Why?", "reply": "So.", "who": 5, "a": "yes", "b": "no"}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"input": "note", "output": "reply"}, {"input": "A note.", "output": "So.", "instruction": ""}),
        ({"input": "note+ask", "output": "reply", "instruction": "=Sum up."}, {"input": {"note": "A note.", "ask": "Why?"}, "instruction": "Sum up."}),
        ({"id": "who", "family": "who", "input": "ask", "output": "reply"}, {"id": "5", "family": "5"}),
        ({"input": "ask", "output": "a", "options": "a+b"}, {"options": ("yes", "no"), "output": "A"}),
        ({"output": "note+reply"}, {"input": "", "output": {"note": "A note.", "reply": "So."}}),
        ({"input": "ask", "reasoning": "note", "output": "reply"}, {"reasoning": "A note."}),
        ({"input": "==", "output": "reply"}, {"input": "="}),
    ],
)  # fmt: skip
def test_mapped_columns_decide(columns: dict[str, str], expected: dict[str, Any]) -> None:
    example = one(NOTE, **columns)
    assert {name: getattr(example, name) for name in expected} == expected


def test_a_mapping_without_output_adds_to_the_shape() -> None:
    row = {"question": "Why?", "context": "A note.", "answer": "So.", "patient": 9}
    example = one(row, instruction="=Answer.", family="patient")
    assert (example.instruction, example.family, example.input) == (
        "Answer.",
        "9",
        {"context": "A note.", "question": "Why?"},
    )
    assert one(row, input="question").input == "Why?"


def test_a_mapped_column_that_is_not_there_is_said_with_those_that_are() -> None:
    assert refusal({"notes": SECRET, "reply": "b"}, input="note", output="reply") == (
        "input is mapped to the column 'note', which is not there; did you mean 'notes'? columns: notes, reply"
    )
    assert "cannot be mapped beside chat messages" in refusal({"messages": [], "a": "b"}, input="a")


def columns_refusal(columns: dict[str, str]) -> str:
    with pytest.raises(MedslmError) as refused:
        of_corpus(columns, "local:x.csv")
    return str(refused.value)


def test_a_mapping_that_says_nothing_useful_is_a_sentence() -> None:
    assert columns_refusal({"imput": "a"}).startswith(
        "columns has 'imput', and an example has no field 'imput'; did you mean 'input'?"
    )
    assert "no field 'outptu'; did you mean 'output'?" in columns_refusal({"local:x.csv:outptu": "a"})
    assert "id needs a column" in columns_refusal({"id": "=5"})
    assert "columns says nothing for input" in columns_refusal({"input": ""})


def test_the_entry_of_one_corpus_outdoes_the_one_for_all() -> None:
    columns = {"local:x.csv:input": "a", "input": "b", "local:y.csv:output": "c", "output": "d"}
    told: Columns = (("input", "a"), ("output", "d"))
    assert of_corpus(columns, "local:x.csv") == told
