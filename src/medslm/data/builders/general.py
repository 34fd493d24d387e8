"""General knowledge and common sense, for judging only: what a model may lose while it learns something else."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medslm.data.benchmark import Benchmark, benchmarks
from medslm.data.builders.choice import HIDDEN, choice
from medslm.data.builders.reading import filled, listed, mapped, text_of
from medslm.data.corpus import Row
from medslm.data.example import Example
from medslm.data.sources.hub import Dataset
from medslm.errors import MedslmError

CONTINUE = "Write how the text goes on."
MARKUP = re.compile(r"\[.*?\]")


def arc(row: Row) -> Iterator[Example]:
    """Science exams of grades 3 to 9 (arXiv:1803.05457): three to five options, under letters or numbers.

    Raises `MedslmError` for a key that is none of the labels.
    """
    options = mapped(row["choices"], "options")
    labels, key = list(map(str, listed(options.get("label"), "labels"))), text_of(row["answerKey"]).strip()
    if key and key not in labels:
        raise MedslmError(
            f"the key of the question '{str(row['question'])[:60]}' is {key[:60]}, but its options are called "
            f"{', '.join(labels)}: mend the record"
        )
    number = labels.index(key) if key else HIDDEN
    yield choice(row["question"], options.get("text"), number, id=str(row["id"]))


def hellaswag(row: Row) -> Iterator[Example]:
    """How everyday scenes go on (arXiv:1905.07830): a beginning and four endings, of which three were made by a machine.

    The texts are cleaned as in lm-eval's task `hellaswag`, so that figures compare. The key is empty in the test split.
    """
    scene = f"{filled(row['activity_label'], 'activity')}: {filled(row['ctx_a'], 'beginning')}"
    begun = text_of(row["ctx_b"])  # of some captions, the first words of the sentence that is to be ended
    endings = [cleaned(text_of(ending)) for ending in listed(row["endings"], "endings")]
    yield choice(cleaned(f"{scene} {begun.capitalize()}"), endings, row["label"], instruction=CONTINUE)


def cleaned(text: str) -> str:
    """Without the markup of WikiHow, character by character as lm-eval does it, but for spaces at the ends."""
    return MARKUP.sub("", text.strip().replace(" [title]", ". ")).replace("  ", " ").strip()


benchmarks.add(
    "arc-easy", Benchmark(Dataset("allenai/ai2_arc", "ARC-Easy", "test"), "cc-by-sa-4.0", "test of ARC-Easy", arc)
)
benchmarks.add(  # the key of its test split is hidden
    "hellaswag", Benchmark(Dataset("Rowan/hellaswag", split="validation"), "mit", "validation", hellaswag)
)
