"""School mathematics worked out step by step (GSM8K), and proofs of real analysis (DEMI-MathAnalysis)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from medslm.data.benchmark import Benchmark, benchmarks
from medslm.data.builders.own_file import OwnFile
from medslm.data.builders.reading import filled, pair
from medslm.data.corpus import Corpus, Row, Skip, corpora
from medslm.data.example import Example
from medslm.data.sources.hub import Dataset

INSTRUCTION = "Solve the problem."
MARK = "\n#### "
"""What stands between the working and the number."""

GSM8K = Dataset("openai/gsm8k", "main")


def worked(row: Row) -> Iterator[Example]:
    """The working and, in the last line after `####`, the number: all of it is the answer (arXiv:2110.14168)."""
    yield from pair(row, instruction=INSTRUCTION, question="question", answer="answer")


def reasoned(row: Row) -> Iterator[Example]:
    """The working as thoughts, the number as the answer."""
    for example in worked(row):
        working, mark, number = example.answer.rpartition(MARK)
        if not mark:
            raise Skip("no line gives the number")
        yield replace(example, output=filled(number, "answer"), reasoning=working)


corpora.add("gsm8k", Corpus(GSM8K, "mit", "school mathematics", ("question", "answer"), worked))
corpora.add(
    "gsm8k-reasoning", Corpus(GSM8K, "mit", "school mathematics with reasoning", ("question", "answer"), reasoned)
)
benchmarks.add("gsm8k", Benchmark(Dataset("openai/gsm8k", "main", "test"), "mit", "test", reasoned))

# 88 problems (arXiv:2501.00059), the authors' benchmark half among them.
ANALYSIS = OwnFile(
    "DEMI-MathAnalysis",
    "MEDSLM_DEMI_MATHANALYSIS",
    "https://github.com/ziye2chen/DEMI-MathAnalysis/blob/668d580c16a2001a17fb6f4f4fc6befdb5d4cc5a/all.csv",
)
corpora.add(
    "demi-mathanalysis",
    Corpus(
        ANALYSIS,
        "mit",
        "proofs of real analysis",
        ("Problem", "Solution"),
        partial(pair, instruction=INSTRUCTION, question="Problem", answer="Solution"),
    ),
)
