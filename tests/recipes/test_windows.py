"""What a small base is judged by leaves room for the reply in what it reads."""

from __future__ import annotations

import pytest

from medslm.data.builders import asclepius, legal, pubmed
from medslm.data.builders.bounded import Bound
from medslm.data.suites import suites
from medslm.evals.clinical.consistency import bound
from recipes import world

READS = 2048  # tokens of TinyLlama
DENSE = 3.4  # characters a token of Llama 2's tokenizer in a bill full of clauses; notes and articles have more
AROUND = 40  # tokens of the instruction and the chat template
BRIEF: dict[str, Bound] = {
    "discharge_summarization": asclepius.SHORT,
    "pubmed_summarization_brief": pubmed.BRIEF,
    "billsum_brief": legal.BRIEF,
}


@pytest.mark.parametrize("task", BRIEF)
def test_the_longest_text_of_a_brief_exam_and_its_reply_fit(task: str) -> None:
    assert BRIEF[task].text / DENSE + bound(task) + AROUND <= READS
    assert BRIEF[task].answer / DENSE <= bound(task) + 5, "or keys would be left out in numbers"


def test_a_base_of_2048_tokens_is_judged_by_no_summary_that_it_cannot_read() -> None:
    for recipe in world.RECIPES.values():
        if recipe.base == "tinyllama-1.1b-chat":
            asked = {task.name for task in suites[recipe.suite].tasks}
            assert not asked & {"billsum", "pubmed_summarization", "aci_bench"}, recipe.name


def test_one_suite_asks_the_mix_all_its_trades_in_the_format_that_it_learnt() -> None:
    recipe = world.RECIPES["tinyllama-clinical-mix-qlora"]
    suite = suites[recipe.suite]
    assert {task.name for task in suite.tasks} >= {
        *("discharge_summarization", "medical_o1", "pubmedqa", "icd10cm_list", "billsum_brief")
    }
    assert {"similarity", "cost", "coding"} <= {*suite.studies}
    assert not recipe.formats, "an exam is asked in the recipe's format alone"
