"""PubMedQA's two sides: no question of the official test gives an example, and a changed order is found out."""

from __future__ import annotations

from typing import Any

import pytest

from medslm.data.benchmark import Benchmark
from medslm.data.builders.pubmedqa import COLUMNS, Labelled, digest, item, lesson, official_test, question
from medslm.data.corpus import Corpus, Skip
from medslm.errors import MedslmError
from toy_data import Rows


def row(number: int, decision: str) -> dict[str, Any]:
    context = {"contexts": [f"Abstract {number}."]}
    return {"pubid": number, "question": f"Question {number}?", "context": context, "final_decision": decision}


ROWS = tuple(row(100 + n, decision) for n, decision in enumerate(["yes"] * 7 + ["no", "maybe"] * 2 + ["no"]))
TEST = {"103", "105", "106", "109", "110"}  # 3 of 7 yes, 1 of 3 no and 1 of 2 maybe, as seed 0 shuffles them


def labelled(rows: tuple[dict[str, Any], ...] = ROWS, expected: str = digest(TEST)) -> Labelled:
    return Labelled(Rows(rows, "qiaojin/PubMedQA"), expected)


def test_the_rule_draws_the_second_half_of_each_label() -> None:
    drawn = official_test(ROWS)
    decisions = [row["final_decision"] for row in ROWS if str(row["pubid"]) in drawn]
    assert {decision: decisions.count(decision) for decision in decisions} == {"yes": 3, "no": 1, "maybe": 1}


def test_the_draw_is_that_of_pythons_generator_with_seed_0() -> None:
    assert official_test(ROWS) == TEST


def test_a_question_of_the_official_test_gives_no_example_and_is_counted() -> None:
    skipped: dict[str, int] = {}
    corpus = Corpus(labelled(), "mit", "toy", (*COLUMNS, "official_test"), lesson)
    learnt = {example.id for example in corpus.load(skipped)}
    examined = {example.id for example in Benchmark(labelled(), "mit", "test", item).examples()}
    assert examined == TEST
    assert learnt == {str(row["pubid"]) for row in ROWS} - TEST
    assert skipped == {"it is in the official test": len(TEST)}


@pytest.mark.parametrize("rows", [ROWS[::-1], ROWS[1:], ()], ids=["other order", "a row less", "none"])
def test_rows_in_another_order_or_number_are_refused(rows: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(MedslmError, match="are not the official test; their order or number has changed"):
        list(labelled(rows).rows())


def test_without_a_decision_no_side_can_be_drawn() -> None:
    with pytest.raises(MedslmError, match=r"has no pubid or no final_decision; it has pubid, question"):
        list(labelled(({"pubid": 1, "question": "?"},)).rows())


def test_a_fourth_decision_is_refused() -> None:
    with pytest.raises(MedslmError, match="the decision on question 1 is 'perhaps', and not yes, no or maybe"):
        list(question(row(1, "perhaps")))


@pytest.mark.parametrize("context", [None, {}, {"contexts": []}, {"contexts": [" "]}])
def test_a_question_without_its_abstract_is_skipped(context: Any) -> None:
    with pytest.raises(Skip, match="the abstract is empty"):
        list(question({**row(1, "yes"), "context": context}))


def test_the_source_says_where_its_rows_come_from() -> None:
    rows = Rows(ROWS, "qiaojin/PubMedQA")
    assert (labelled().name, labelled().version()) == (rows.name, rows.version())
