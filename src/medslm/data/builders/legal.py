"""BillSum: bills of the US Congress and California and their official summaries (arXiv:1910.00523)."""

from __future__ import annotations

from functools import partial

from medslm.data.benchmark import Benchmark, benchmarks
from medslm.data.builders.bounded import Bound, within
from medslm.data.builders.reading import pair
from medslm.data.corpus import Corpus, corpora
from medslm.data.sources.hub import Dataset

HUB_ID = "FiscalNote/billsum"
LICENSE = "cc0-1.0"
SUMMARIZE = partial(pair, instruction="Summarize this bill.", answer="summary")
BILL = partial(SUMMARIZE, question="text")

corpora.add("billsum", Corpus(Dataset(HUB_ID), LICENSE, "summarization of bills", ("text", "summary"), BILL))
benchmarks.add("billsum", Benchmark(Dataset(HUB_ID, split="test"), LICENSE, "test", BILL))


def within_room(bound: Bound) -> Benchmark:
    """The bills of the test that are short enough."""
    return Benchmark(Dataset(HUB_ID, split="test"), LICENSE, bound.rule("test"), partial(within, of=BILL, bound=bound))


SHORT = Bound(text=9_000, answer=2_400)  # characters; the dataset has bills of 5,000 to 20,000
BRIEF = Bound(text=5_600, answer=1_200)
"""Bills in GPO's layout have 3.4 to 3.8 characters a token (Llama 2), so that none of 5,000 characters leaves room for an
answer of 2,400 in a context of 2,048 tokens: an exam of its own for bases that read no more."""

benchmarks.add("billsum-short", within_room(SHORT))
benchmarks.add("billsum-brief", within_room(BRIEF))

# The copy that lighteval judges on: the same bills, split the same way, so the benchmark above guards both. The copy
# states no licence of its own.
corpora.add(
    "legal-summarization",
    Corpus(
        Dataset("lighteval/legal_summarization", "BillSum"),
        "unknown",
        "summarization of bills",
        ("article", "summary"),
        partial(SUMMARIZE, question="article"),
    ),
)
