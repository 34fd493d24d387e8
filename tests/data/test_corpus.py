"""A corpus yields the examples of its rows, and says so when the rows have changed their shape."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from medslm.data.corpus import Corpus, Row, Skip
from medslm.data.example import Example
from medslm.errors import MedslmError
from toy_data import Rows


def notes(rows: list[Row]) -> Corpus:
    def examples(row: Row) -> Iterator[Example]:
        if row["examples"] < 0:
            raise Skip("a debt of examples")
        for number in range(row["examples"]):
            yield Example(f"{row['note']} {number}", "Sum up.", row["note"], "summary", family=row["note"])

    return Corpus(Rows(tuple(rows), "org/notes"), "mit", "summaries", ("note", "examples"), examples)


def test_a_row_gives_none_one_or_several_examples() -> None:
    rows = [{"note": name, "examples": number} for number, name in enumerate("abc")]
    assert [example.id for example in notes(rows).load()] == ["b 0", "c 0", "c 1"]


def test_rows_left_out_are_counted_by_reason() -> None:
    skipped: dict[str, int] = {}
    rows = [{"note": name, "examples": number} for name, number in (("a", -1), ("b", 1), ("c", -1))]
    assert [example.id for example in notes(rows).load(skipped)] == ["b 0"]
    assert skipped == {"a debt of examples": 2}


def test_a_missing_column_is_a_sentence_with_the_row_and_what_it_has() -> None:
    loading = notes([{"note": "a", "examples": 1}, {"text": "b", "label": 2, "note": "c"}]).load()
    assert next(loading).id == "a 0"
    with pytest.raises(MedslmError) as refusal:
        next(loading)
    assert str(refusal.value).startswith("row 1 of org/notes has no column examples; it has text, label, note.")


def test_a_row_that_its_reader_refuses_is_named_once() -> None:
    class Placed(dict[str, Any]):
        place = "notes.jsonl, line 7"

    def examples(row: Row) -> Iterator[Example]:
        raise MedslmError(row["said"])
        yield

    rows: list[Row] = [
        {"said": "options is a text"},
        Placed(said="options"),
        Placed(said="notes.jsonl, line 7: options"),
    ]
    corpus = Corpus(Rows(tuple(rows), "org/notes"), "mit", "exams", ("said",), examples)
    told = []
    for number, row in enumerate(rows):
        with pytest.raises(MedslmError) as refusal:
            list(corpus.of_row(number, row))
        told.append(str(refusal.value))
    assert told == ["row 0 of org/notes: options is a text", *["notes.jsonl, line 7: options"] * 2]


def test_a_corpus_has_no_place_for_a_test_split() -> None:
    assert not [field.name for field in dataclasses.fields(Corpus) if "test" in field.name or "split" in field.name]
