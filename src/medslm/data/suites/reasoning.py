"""Answers that are thought out first: their structure, what they end in, and whether samples agree with each other."""

from __future__ import annotations

from medslm.data.suite import Metric, Suite, Task
from medslm.data.suites.exams import EXAMS
from medslm.data.suites.registry import suites

PARTS = ("structure", "tags_once", "tags_in_order", "nothing_outside", "thought_filled", "response_filled", "ended")
STRUCTURE = tuple(map(Metric, PARTS))
"""Of a reply in the format `think`; undefined in others."""
UNPARSEABLE = Metric("unparseable", higher_is_better=False)
WORKED = (Metric("accuracy"), Metric("strict_parse"), UNPARSEABLE, *STRUCTURE)
ANSWERED = (Metric("match"), Metric("rouge_l", unit="value"), UNPARSEABLE, *STRUCTURE)

_IN_WRITING = next(task for task in EXAMS["medqa"] if task.form == "reasoned")
suites.add(
    "reasoning",
    Suite(
        (
            Task("gsm8k_reasoned", "gsm8k", WORKED),
            Task("medical_o1_verifiable", "medical-o1-verifiable", ANSWERED),
            _IN_WRITING,
        ),
        studies=("consistency", "cases"),
    ),
)
