"""Instruction data in the shape of Alpaca: `instruction`, `input`, `output`."""

from __future__ import annotations

from collections.abc import Iterator

from medslm.data.builders.reading import INSTRUCTED, family_of, filled, fingerprint, instructed, text_of
from medslm.data.corpus import Corpus, Row, Skip, corpora
from medslm.data.example import Example
from medslm.data.sources.hub import Dataset

INSTRUCTION = "Write a response that does what is asked."

MEADOW = (
    "wikidoc",
    "wikidoc_patient_information",
    "medical_flashcards",
    "mediqa",
    "health_advice",
    "pubmed_causal",
    "cord19",
    "medqa",
)
"""Parts of Medical Meadow (arXiv:2304.08247). Not `mmmlu`: it is made of MMLU's questions, which are an exam here."""

NOTHING = ("noinput", "no input", "no input provided", "none", "n/a", "nooutput", "no output")
"""What Alpaca's authors, and the model that wrote it, put where there is nothing (`<noinput>`): no text to be learnt, and
no document that would make one family of all rows that hold it."""


def _unless_nothing(cell: str) -> str:
    return "" if cell.strip().strip("<>[]().").casefold() in NOTHING else cell


def alpaca(row: Row) -> Iterator[Example]:
    """Every row has an instruction of its own, so that it is the question; the input follows it, if there is one."""
    instruction, given = filled(row["instruction"], "question"), _unless_nothing(text_of(row["input"]))
    told = filled(row["output"], "answer")
    if told.strip().startswith("<") and not _unless_nothing(told):  # `None` and `N/A` may be the answer to a question
        raise Skip("the answer is a placeholder")
    asked = f"{instruction}\n\n{given}" if given else instruction
    yield Example(fingerprint(asked, told), INSTRUCTION, asked, told, family_of(given or instruction))


corpora.add(
    "alpaca-cleaned",
    # its card says cc-by-4.0, but it is a cleaned copy of tatsu-lab/alpaca, which is cc-by-nc-4.0
    Corpus(Dataset("yahma/alpaca-cleaned"), "cc-by-nc-4.0", "general instructions", INSTRUCTED, alpaca),
)

# Questions to doctors on the web and what they answered (arXiv:2303.14070). No licence is stated.
corpora.add(
    "chatdoctor-healthcaremagic",
    Corpus(Dataset("lavita/ChatDoctor-HealthCareMagic-100k"), "unknown", "answers to patients", INSTRUCTED, instructed),
)

# A collection of the sets above and below, brought into one shape: it repeats them, which the search for repetitions
# finds. Its other configurations are exams (`mmmlu-*`, `usmle-self-assessment-*`) or of no certain shape.
corpora.add(
    "medical-qa-datasets",
    Corpus(
        Dataset("lavita/medical-qa-datasets", "all-processed"),
        "unknown",
        "medical question answering",
        INSTRUCTED,
        instructed,
    ),
)

for _part in MEADOW:  # `license: cc` without a version, or none
    corpora.add(
        f"medical-meadow-{_part.replace('_', '-')}",
        Corpus(
            Dataset(f"medalpaca/medical_meadow_{_part}"),
            "unknown",
            f"Medical Meadow: {_part.replace('_', ' ')}",
            INSTRUCTED,
            instructed,
        ),
    )
