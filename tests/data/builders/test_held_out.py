"""Patients of synthetic notes are learnt from or examined, never both; and exams of a stated length keep it."""

from __future__ import annotations

from typing import Any

import pytest

from medslm.data.benchmark import Benchmark, benchmarks
from medslm.data.builders import asclepius
from medslm.data.builders.asclepius import HELD_OUT_PERCENT, TASKS
from medslm.data.corpus import Corpus, Skip, corpora
from toy_data import Rows

ROWS = tuple(
    {"patient_id": patient, "note": f"Note of {patient}.", "question": "Sum up.", "answer": "Well.", "task": task}
    for patient in range(400)
    for task in TASKS.values()
)


def learnt(name: str) -> set[str]:
    corpus = corpora[name]
    return {e.family for e in Corpus(Rows(ROWS), corpus.license, corpus.task, corpus.columns, corpus.examples).load()}


def examined(*rows: dict[str, Any]) -> list[Any]:
    return list(Benchmark(Rows(rows), "mit", "all", benchmarks["discharge-summarization"].items).examples())


def test_no_patient_is_both_learnt_from_and_examined_whatever_the_task() -> None:
    exam = examined(*ROWS)
    kept = {item.family for item in exam}
    assert len(exam) == len(kept) and 0.3 < len(kept) / (400 * HELD_OUT_PERCENT / 100) < 2
    for name in ("asclepius-notes", *TASKS):
        assert not learnt(name) & kept
        assert len(learnt(name) | kept) == 400


def test_a_patients_number_as_text_or_number_is_on_the_same_side() -> None:
    assert all(asclepius.held_out({"patient_id": n}) == asclepius.held_out({"patient_id": str(n)}) for n in range(200))


def test_an_exam_asks_for_summaries_only() -> None:
    assert len(examined(*ROWS)) * len(TASKS) == sum(asclepius.held_out(row) for row in ROWS)


HELD = next(row for row in ROWS if asclepius.held_out(row) and row["task"] == "Summarization")
LONG = {
    "discharge-summarization": (HELD, {"note": "x" * 4_501}, {"answer": "x" * 1_501}),
    "pubmed-summarization-short": (
        {"article": "a", "abstract": "b"},
        {"article": "x" * 9_001},
        {"abstract": "x" * 2_401},
    ),
    "billsum-short": ({"text": "a", "summary": "b"}, {"text": "x" * 9_001}, {"summary": "x" * 2_401}),
    "pubmed-summarization-brief": (
        {"article": "a", "abstract": "b"},
        {"article": "x" * 5_001},
        {"abstract": "x" * 1_601},
    ),
    "billsum-brief": ({"text": "a", "summary": "b"}, {"text": "x" * 5_601}, {"summary": "x" * 1_201}),
}


@pytest.mark.parametrize("name", LONG)
def test_an_item_beyond_the_stated_length_is_left_out_with_the_reason(name: str) -> None:
    row, text, answer = LONG[name]
    items = benchmarks[name].items
    assert len(list(items(row))) == 1
    for longer, what in ((text, "text"), (answer, "answer")):
        with pytest.raises(Skip, match=rf"its {what} has more than \d,\d+ characters"):
            list(items({**row, **longer}))
    assert "only texts of up to" in benchmarks[name].split


@pytest.mark.parametrize("name", ["pubmed-summarization", "billsum"])
def test_the_whole_test_split_is_kept_out_of_training_and_not_the_short_items_alone(name: str) -> None:
    row = {**LONG[f"{name}-short"][0], **LONG[f"{name}-short"][1]}
    assert len(list(benchmarks[name].items(row))) == 1


@pytest.mark.parametrize("name", ["pubmed-summarization", "billsum"])
def test_a_brief_exam_is_a_part_of_the_short_one(name: str) -> None:
    row = LONG[f"{name}-short"][0]
    (short,), (brief,) = (list(benchmarks[f"{name}-{length}"].items(row)) for length in ("short", "brief"))
    assert short == brief
    for source in (benchmarks[name].source, benchmarks[f"{name}-short"].source):
        assert source == benchmarks[f"{name}-brief"].source
