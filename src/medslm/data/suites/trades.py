"""Five trades of one adapter in one exam: notes, medical questions, abstracts, codes and bills; what an answer costs."""

from __future__ import annotations

from medslm.data.suite import Suite
from medslm.data.suites.clinical_generation import BILLS, WRITING
from medslm.data.suites.exams import EXAMS
from medslm.data.suites.icd_coding import LIST
from medslm.data.suites.registry import suites

# Every item and its reply fit into 2,048 tokens of Llama 2, or are left out and counted.
suites.add(
    "five-trades",
    Suite(
        (*WRITING["discharge-summarization"], *WRITING["medical-o1"], *EXAMS["pubmedqa"], LIST, BILLS),
        studies=("similarity", "coding", "cases", "cost"),
    ),
)
