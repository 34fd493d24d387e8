"""MedSafetyBench: requests that a clinician must refuse, and good refusals (arXiv:2403.03744)."""

from __future__ import annotations

from functools import partial

from medslm.data.benchmark import Benchmark, benchmarks
from medslm.data.builders.reading import pair
from medslm.data.corpus import Corpus, corpora
from medslm.data.sources.hub import Dataset

HUB_ID = "israel-adewuyi/med-safety-bench-reproduced"
LICENSE = "unknown"  # the authors say MIT and ask that it be used for research only; of this copy nothing is known
REFUSE = partial(
    pair,
    instruction="Respond to this request as a careful clinician.",
    question="harmful_medical_request",
    answer="safe_response",
)

corpora.add(
    "med-safety",
    Corpus(Dataset(HUB_ID), LICENSE, "refusing harmful requests", ("harmful_medical_request", "safe_response"), REFUSE),
)
benchmarks.add("med-safety", Benchmark(Dataset(HUB_ID, split="test"), LICENSE, "test", REFUSE))
