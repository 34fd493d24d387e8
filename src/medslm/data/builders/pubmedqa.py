"""PubMedQA: is it so, by this abstract? Yes, no or maybe (arXiv:1909.06146).

The 1,000 questions labelled by people are one split on the Hub, of which 500 are the official test. They are drawn here
by the authors' rule (https://github.com/pubmedqa/pubmedqa/blob/master/preprocess/split_dataset.py), and the draw is
compared with a digest of the ids in their `data/test_ground_truth.json`.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from medslm.data.benchmark import Benchmark, benchmarks
from medslm.data.builders.choice import choice
from medslm.data.builders.reading import filled, listed, mapped, text_of
from medslm.data.corpus import Corpus, Row, Skip, Source, corpora
from medslm.data.example import Example
from medslm.data.sources.hub import Dataset
from medslm.errors import MedslmError

INSTRUCTION = "Answer the question by the abstract, with the letter of the right option."
DECISIONS = ("yes", "no", "maybe")
OFFICIAL = "406e3b89eff577ed38571eca5a5819734a6f49ac0437d171b6c64e5c3cd195f8"
"""SHA-256 of the 500 official test ids, sorted as text, one a line."""


def official_test(rows: Sequence[Row]) -> set[str]:
    """Ids of the test half: of each label in turn, shuffled with seed 0, what follows the first half (rounded up)."""
    order = random.Random(0)
    test: set[str] = set()
    for decision in DECISIONS:  # one generator for all three, so their order matters
        ids = [str(row["pubid"]) for row in rows if row["final_decision"] == decision]
        order.shuffle(ids)
        test.update(ids[(len(ids) + 1) // 2 :])
    return test


def digest(ids: Iterable[str]) -> str:
    """What stands for a set of ids."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


@dataclass(frozen=True)
class Labelled:
    """The labelled questions, with a column `official_test` that says on which side a row is."""

    source: Source
    """All 1,000 rows in the order of the authors' `ori_pqal.json`, which the Hub keeps."""

    expected: str = OFFICIAL
    """`digest` of the ids that must come out as the test."""

    @property
    def name(self) -> str:
        """The Hub id."""
        return self.source.name

    def rows(self) -> Iterator[Row]:
        """Every row. Raises `MedslmError` if the rule does not draw the official test from them."""
        rows = list(self.source.rows())
        for row in rows:
            if "pubid" not in row or "final_decision" not in row:
                raise MedslmError(f"a row of {self.name} has no pubid or no final_decision; it has {', '.join(row)}")
        test = official_test(rows)
        if digest(test) != self.expected:
            raise MedslmError(
                f"of the {len(rows)} labelled questions of {self.name}, the authors' rule draws {len(test)} that are not "
                "the official test; their order or number has changed, so nothing here is safe to learn from: pin an "
                "older revision"
            )
        for row in rows:
            yield {**row, "official_test": str(row["pubid"]) in test}

    def version(self) -> str:
        """The commit."""
        return self.source.version()


def question(row: Row) -> Iterator[Example]:
    """The abstract without its conclusion, the question, and the decision as one of three options."""
    decision = row["final_decision"]
    if decision not in DECISIONS:
        raise MedslmError(f"the decision on question {row['pubid']} is '{decision}', and not yes, no or maybe")
    id, asked = str(row["pubid"]), filled(row["question"], "question")
    abstract = filled(
        "\n".join(map(text_of, listed(mapped(row["context"], "sections").get("contexts"), "sections"))), "abstract"
    )
    key = DECISIONS.index(decision)
    example = choice(asked, DECISIONS, key, id=id, family=f"pubmed {id}", instruction=INSTRUCTION)
    yield replace(example, input={"abstract": abstract, "question": asked})


def lesson(row: Row) -> Iterator[Example]:
    """A labelled question that is not in the official test."""
    if row["official_test"]:
        raise Skip("it is in the official test")
    yield from question(row)


def item(row: Row) -> Iterator[Example]:
    """A labelled question of the official test."""
    if not row["official_test"]:
        raise Skip("it is not in the official test")
    yield from question(row)


HUB_ID = "qiaojin/PubMedQA"
LABELLED = Labelled(Dataset(HUB_ID, "pqa_labeled"))
COLUMNS = ("pubid", "question", "context", "final_decision")
TASK = "questions on abstracts of research"

corpora.add("pubmedqa-labeled", Corpus(LABELLED, "mit", TASK, (*COLUMNS, "official_test"), lesson))
corpora.add("pubmedqa-artificial", Corpus(Dataset(HUB_ID, "pqa_artificial"), "mit", TASK, COLUMNS, question))
benchmarks.add("pubmedqa", Benchmark(LABELLED, "mit", "the 500 official test questions of pqa_labeled", item))
