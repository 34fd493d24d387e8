"""Articles of PubMed Central and the abstracts that sum them up (arXiv:1804.05685)."""

from __future__ import annotations

from functools import partial

from medslm.data.benchmark import Benchmark, benchmarks
from medslm.data.builders.bounded import Bound, within
from medslm.data.builders.reading import pair
from medslm.data.corpus import Corpus, corpora
from medslm.data.sources.hub import Dataset

HUB_ID = "ccdv/pubmed-summarization"
CONFIG = "document"  # `section` holds the same articles with their sections marked
LICENSE = "unknown"  # the card states none, and each article has its own
SUMMARIZE = partial(pair, instruction="Write the abstract of this article.", question="article", answer="abstract")

corpora.add(
    "pubmed-summarization",
    Corpus(Dataset(HUB_ID, CONFIG), LICENSE, "summarization of articles", ("article", "abstract"), SUMMARIZE),
)
benchmarks.add("pubmed-summarization", Benchmark(Dataset(HUB_ID, CONFIG, "test"), LICENSE, "test", SUMMARIZE))


def within_room(bound: Bound) -> Benchmark:
    """The articles of the test that are short enough."""
    return Benchmark(
        Dataset(HUB_ID, CONFIG, "test"), LICENSE, bound.rule("test"), partial(within, of=SUMMARIZE, bound=bound)
    )


SHORT = Bound(text=9_000, answer=2_400)  # with its reply an article takes at most some 3,700 tokens (Llama 2)
BRIEF = Bound(text=5_000, answer=1_600)  # with its reply at most 2,048 (3.3 to 4.9 characters each)
benchmarks.add("pubmed-summarization-short", within_room(SHORT))
benchmarks.add("pubmed-summarization-brief", within_room(BRIEF))
