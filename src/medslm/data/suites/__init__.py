"""One file a family of suites; importing this package registers them all, with the benchmarks that they ask."""

import medslm.data.builders  # noqa: F401  (registers the benchmarks)
from medslm.data.suites import (  # noqa: F401  (register their suites)
    clinical_generation,
    exams,
    general,
    hallucination,
    icd10cm,
    icd_coding,
    judge,
    reasoning,
    safety,
    trades,
    trust,
    validation,
)
from medslm.data.suites.registry import suites

__all__ = ["suites"]
