"""ICD-10-CM from the real package: no category stands on both sides, and every question has its key."""

from __future__ import annotations

import importlib.metadata
import sys
from collections import Counter

import pytest

from medslm.data.benchmark import benchmarks
from medslm.data.builders import icd10cm
from medslm.data.corpus import corpora
from medslm.data.example import Example
from medslm.data.formats import formats
from medslm.data.gates.contamination import Screen
from medslm.errors import MedslmError


@pytest.fixture(scope="module")
def corpus() -> list[Example]:
    return list(corpora["icd10cm"].load())


@pytest.fixture(scope="module")
def exams() -> dict[str, list[Example]]:
    return {name: list(benchmarks[name].examples()) for name in ("icd10cm-coding", "icd10cm-mcq")}


@pytest.fixture(params=["icd10cm-coding", "icd10cm-mcq"])
def items(request: pytest.FixtureRequest, exams: dict[str, list[Example]]) -> list[Example]:
    return exams[request.param]


def test_no_family_is_both_learnt_and_examined(corpus: list[Example], items: list[Example]) -> None:
    assert {example.family for example in corpus}.isdisjoint(item.family for item in items)


def test_the_exam_has_one_item_a_family_and_enough_of_them(items: list[Example]) -> None:
    assert len(items) >= (500 if not items[0].options else 250)
    assert len({item.family for item in items}) == len({item.id for item in items}) == len(items)


def test_the_lesson_is_large_and_no_family_drowns_the_others(corpus: list[Example]) -> None:
    assert len(corpus) > 4000
    assert max(Counter(example.family for example in corpus).values()) == icd10cm.STATEMENTS_PER_FAMILY
    assert len({example.id for example in corpus}) == len(corpus)


def test_a_family_is_the_category_of_the_code_and_the_chapter_is_its_own(corpus: list[Example]) -> None:
    titles = set(icd10cm.chapters().values())
    assert len(titles) == 22
    for example in corpus:
        assert isinstance(example.output, dict)
        assert example.output["code"][:3] == example.family
        assert example.output["chapter"] in titles
    known = {
        example.output["code"]: example.output["chapter"] for example in corpus if isinstance(example.output, dict)
    }
    assert known["I10"] == "Diseases of the circulatory system"
    assert not any("(" in title for title in titles)  # the range of codes would give the chapter away


def test_a_row_is_one_category() -> None:
    rows = [row["category"] for row in icd10cm.rows()]
    assert len(rows) == len(set(rows))  # the package lists a category that is a block as well, such as C50, twice


def test_reading_twice_gives_the_same(corpus: list[Example], exams: dict[str, list[Example]]) -> None:
    icd10cm.rows.cache_clear()
    assert list(corpora["icd10cm"].load()) == corpus
    assert list(benchmarks["icd10cm-mcq"].examples()) == exams["icd10cm-mcq"]


def test_the_division_depends_on_the_code_alone() -> None:
    """These values may never change: published scores rest on them."""
    drawn = [f"{letter}{number:02d}" for letter in "ABCJ" for number in (15, 26, 33, 45, 53)]
    assert [code for code in drawn if icd10cm.held_out(code)] == ["A33", "C45", "J45"]


@pytest.mark.parametrize("name", sorted(formats))
def test_the_choices_hold_the_key_once_among_four(name: str, exams: dict[str, list[Example]]) -> None:
    positions: Counter[int] = Counter()
    for item in exams["icd10cm-mcq"]:
        choices, key = formats[name].choices_of(item), formats[name].key_of(item)
        assert len(choices) == len(set(choices)) == 4
        assert formats[name].answer_of(item).startswith(choices[key])
        positions[key] += 1
    assert set(positions) == {0, 1, 2, 3}
    assert max(positions.values()) < 0.35 * positions.total()  # no place is right much oftener than the others


def test_the_choice_exam_asks_half_of_the_coding_exam(exams: dict[str, list[Example]]) -> None:
    coding, choice = ([(item.id, item.input) for item in items] for items in exams.values())
    assert set(choice) < set(coding)
    assert 0.4 < len(choice) / len(coding) < 0.6


def test_few_training_statements_are_near_copies_and_none_of_them_passes(
    corpus: list[Example], exams: dict[str, list[Example]]
) -> None:
    screen = Screen(["icd10cm-coding"])
    clean = [example for example in corpus if screen.find(example) is None]
    assert 0 < len(corpus) - len(clean) < 0.05 * len(corpus)
    exam = {item.input.casefold() for item in exams["icd10cm-coding"]}
    assert exam.isdisjoint(example.input.casefold() for example in clean)


def test_the_version_names_the_package(corpus: list[Example]) -> None:
    assert corpora["icd10cm"].source.version() == f"simple-icd-10-cm=={importlib.metadata.version('simple-icd-10-cm')}"


def test_a_missing_package_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simple_icd_10_cm", None)
    icd10cm.rows.cache_clear()
    with pytest.raises(MedslmError, match="not installed; `pip install simple-icd-10-cm`"):
        next(corpora["icd10cm"].load())
