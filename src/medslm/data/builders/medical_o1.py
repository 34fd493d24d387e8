"""Medical questions with a long chain of thought before the answer (HuatuoGPT-o1, arXiv:2412.18925)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from medslm.data.builders.medical_qa import INSTRUCTION
from medslm.data.builders.reading import filled, pair
from medslm.data.corpus import Corpus, Row, corpora
from medslm.data.example import Example
from medslm.data.sources.hub import Dataset

SOURCE = Dataset("FreedomIntelligence/medical-o1-reasoning-SFT", "en")
LICENSE = "apache-2.0"


def response(row: Row) -> Iterator[Example]:
    """The question and the answer, without the thoughts."""
    yield from pair(row, instruction=INSTRUCTION, question="Question", answer="Response")


def reasoned(row: Row) -> Iterator[Example]:
    """The same, with the thoughts before the answer."""
    for example in response(row):
        yield replace(example, reasoning=filled(row["Complex_CoT"], "reasoning"))


corpora.add(
    "medical-o1-reasoning",
    Corpus(SOURCE, LICENSE, "medical reasoning", ("Question", "Complex_CoT", "Response"), reasoned),
)
corpora.add(
    "medical-o1-response",
    Corpus(SOURCE, LICENSE, "medical question answering", ("Question", "Response"), response),
)
