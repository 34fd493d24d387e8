"""Lists of ICD-10-CM statements from the real package: nothing examined was learnt, and each line has its answer."""

from __future__ import annotations

from collections import Counter

import pytest

from medslm.data.benchmark import benchmarks
from medslm.data.builders import icd10cm, icd10cm_list
from medslm.data.corpus import corpora
from medslm.data.example import Example


@pytest.fixture(scope="module")
def corpus() -> list[Example]:
    return list(corpora["icd10cm-list"].load())


@pytest.fixture(scope="module")
def items() -> list[Example]:
    return list(benchmarks["icd10cm-list"].examples())


def categories(example: Example) -> list[str]:
    return [diagnosis["code"][:3] for diagnosis in example.output["diagnoses"]]


def test_there_is_enough_to_learn_and_to_be_asked(corpus: list[Example], items: list[Example]) -> None:
    assert len(corpus) > 1800
    assert len(items) > 120


def test_no_category_is_both_learnt_and_examined(corpus: list[Example], items: list[Example]) -> None:
    assert not any(icd10cm.held_out(category) for example in corpus for category in categories(example))
    assert all(icd10cm.held_out(category) for item in items for category in categories(item))


def test_a_list_has_three_to_six_statements_of_as_many_categories(corpus: list[Example], items: list[Example]) -> None:
    for example in [*corpus, *items]:
        statements, named = example.input["statements"], categories(example)
        assert 3 <= len(statements) == len(named) == len(set(named)) <= 6
    assert set(Counter(len(item.input["statements"]) for item in items)) == {3, 4, 5, 6}


def test_every_line_of_the_table_answers_the_statement_in_its_place(corpus: list[Example]) -> None:
    known = {(text, code): row["chapter"] for row in icd10cm.rows() for code, text in row["statements"]}
    for example in corpus:
        for text, diagnosis in zip(example.input["statements"], example.output["diagnoses"]):
            chapter = known[text, diagnosis["code"]]
            assert diagnosis["chapter"] == icd10cm.chapters()[chapter]


def test_no_category_is_in_two_families(corpus: list[Example], items: list[Example]) -> None:
    family = {category: example.family for example in [*corpus, *items] for category in categories(example)}
    assert all(family[category] == example.family for example in [*corpus, *items] for category in categories(example))


def test_the_items_of_the_exam_are_independent(items: list[Example]) -> None:
    assert len({item.family for item in items}) == len(items)


def test_no_statement_is_learnt_twice(corpus: list[Example]) -> None:
    learnt = [
        (text, diagnosis["code"])
        for example in corpus
        for text, diagnosis in zip(example.input["statements"], example.output["diagnoses"])
    ]
    assert len(learnt) == len(set(learnt))


def test_ids_are_unique_and_the_lists_the_same_every_time(corpus: list[Example]) -> None:
    assert len({example.id for example in corpus}) == len(corpus)
    assert corpus == [example for row in icd10cm_list.lists() for example in icd10cm_list.lesson(row)]
