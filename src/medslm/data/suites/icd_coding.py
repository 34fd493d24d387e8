"""Coding with any number of codes at once: lists of statements, and notes from a file of one's own."""

from __future__ import annotations

from medslm.data.suite import Metric, Suite, Task
from medslm.data.suites.icd10cm import CODING
from medslm.data.suites.registry import suites

LISTED = (
    Metric("f1", unit="value"),
    Metric("exact_match"),
    Metric("precision", unit="value"),
    Metric("recall", unit="value"),
    Metric("category_f1", unit="value"),
    Metric("chapter_f1", unit="value"),
    Metric("invalid_codes", higher_is_better=False, unit="value"),
    Metric("repeated_codes", higher_is_better=False, unit="value"),
    Metric("strict_parse"),
    Metric("repaired_parse", higher_is_better=False),
    Metric("unparseable", higher_is_better=False),
)
NAMED = Metric("named_chapter_f1", unit="value")
"""By the titles of chapters that the reply writes beside its codes."""

LIST = Task("icd10cm_list", "icd10cm-list", (*LISTED, NAMED))

suites.add(
    "icd-coding",
    Suite(
        (LIST, Task("icd10cm_coding", "icd10cm-coding", CODING)),
        studies=("coding", "cases", "cost"),
    ),
)
suites.add("icd-coding-notes", Suite((Task("icd_notes", "icd-notes", LISTED),), studies=("coding",)))
