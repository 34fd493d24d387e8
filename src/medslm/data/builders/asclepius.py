"""Asclepius: synthetic discharge notes, a task on each, and its answer (arXiv:2309.00237).

The notes are GPT-3.5's retelling of published case reports, so no patient's record is in them. A row is one note with
one task; whoever drops the note asks for a summary of nothing, so the note is part of every prompt.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from medslm.data.builders.reading import filled, fingerprint
from medslm.data.corpus import Corpus, Row, Skip, corpora
from medslm.data.example import Example
from medslm.data.sources.hub import Dataset

SOURCE = Dataset("starmpcc/Asclepius-Synthetic-Clinical-Notes")
LICENSE = "cc-by-nc-sa-4.0"
COLUMNS = ("patient_id", "note", "question", "answer")  # the card calls `note` `patient`; the file does not

INSTRUCTION = "Read the clinical note and do what is asked."

TASKS = {
    "asclepius-discharge-summarization": "Summarization",
    "asclepius-named-entities": "Named Entity Recognition",
    "asclepius-abbreviations": "Abbreviation Expansion",
    "asclepius-relations": "Relation Extraction",
    "asclepius-temporal-information": "Temporal Information Extraction",
    "asclepius-coreference": "Coreference Resolution",
    "asclepius-paraphrasing": "Paraphrasing",
    "asclepius-question-answering": "Question Answering",
}
"""Corpus -> the value of the column `task`."""


def on_a_note(row: Row, *, task: str | None = None) -> Iterator[Example]:
    """The note and, after it, what is asked of it; only rows of `task`, if one is given. One family a patient."""
    if task is not None and row["task"] != task:
        raise Skip("its task is another")
    note, question = filled(row["note"], "note"), filled(row["question"], "question")
    answer = filled(row["answer"], "answer")
    # a patient may have several rows, so the patient's number alone is no id
    id = f"{row['patient_id']} {fingerprint(note, question, answer)}"
    given = {"note": note, "question": question}  # formats never encode a part that is text: the note stays as it is
    yield Example(id, INSTRUCTION, given, answer, family=f"pmc-patients {row['patient_id']}")


corpora.add("asclepius-notes", Corpus(SOURCE, LICENSE, "eight tasks on a clinical note", COLUMNS, on_a_note))
for _name, _task in TASKS.items():
    corpora.add(
        _name, Corpus(SOURCE, LICENSE, f"{_task} on a note", (*COLUMNS, "task"), partial(on_a_note, task=_task))
    )
