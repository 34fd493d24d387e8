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

SHORT = Bound(text=9_000, answer=2_400)  # with its reply an article takes at most some 3,700 tokens (Llama 2)
benchmarks.add(
    "pubmed-summarization-short",
    Benchmark(
        Dataset(HUB_ID, CONFIG, "test"),
        LICENSE,
        SHORT.rule("test"),
        partial(within, of=SUMMARIZE, bound=SHORT),
    ),
)

BRIEF = Bound(text=5_000, answer=1_600)  # with its reply at most 2,048 tokens (Llama 2: 3.3 to 4.9 characters each)
benchmarks.add(
    "pubmed-summarization-brief",
    Benchmark(
        Dataset(HUB_ID, CONFIG, "test"),
        LICENSE,
        BRIEF.rule("test"),
        partial(within, of=SUMMARIZE, bound=BRIEF),
    ),
)
