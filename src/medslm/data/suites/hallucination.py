"""What a model says that it cannot know: Med-HALT's three tests, and studies with the right option or the context gone."""

from __future__ import annotations

from medslm.data.suite import Metric, Suite, Task, whole
from medslm.data.suites.registry import suites

DOUBTING = (
    Metric("accuracy", whole),
    Metric("medhalt_score", unit="value", bounds=(-0.25, 1.0)),
    Metric("false_confidence", higher_is_better=False),
)
WRITTEN = (*DOUBTING, Metric("unparseable", higher_is_better=False))
TESTS = ("fct", "nota", "fake")
"""False confidence, none of the above, questions without sense."""

MEDHALT = tuple(Task(f"medhalt_{test}", f"medhalt-{test}", DOUBTING) for test in TESTS)
MEDHALT_WRITTEN = tuple(Task(f"medhalt_{test}_cot", f"medhalt-{test}", WRITTEN, "reasoned") for test in TESTS)

suites.add("medhalt", Suite((*MEDHALT, *MEDHALT_WRITTEN)))
suites.add("medhalt-fake", Suite((MEDHALT[2], MEDHALT_WRITTEN[2])))
suites.add("hallucination", Suite((*MEDHALT, *MEDHALT_WRITTEN), studies=("hallucination",)))
