"""Hospital notes of MIMIC and the ICD codes they were billed under: for those bound by PhysioNet's agreement only.

The columns are those published for the sister set `rntc/mm-icd-visit` (its card, of 122,288 visits); a row that lacks one
of them says so when it is read.
"""

from __future__ import annotations

from collections.abc import Iterator

from medslm.data.benchmark import Benchmark, benchmarks
from medslm.data.builders.own_file import OwnFile
from medslm.data.builders.reading import filled, fingerprint, listed
from medslm.data.corpus import Corpus, Row, Skip, corpora
from medslm.data.example import Example
from medslm.data.sources.hub import Dataset

INSTRUCTION = "List the diagnoses of this hospital visit with their ICD codes."
COLUMNS = ("subject_id", "hadm_id", "cleaned_text", "icd_code", "icd_descriptions")


def visit(row: Row) -> Iterator[Example]:
    """The whole note, and a table of codes and titles in the order of the source. One family a patient."""
    note = filled(row["cleaned_text"], "question")
    codes, titles = listed(row["icd_code"], "codes"), listed(row["icd_descriptions"], "titles")
    if not codes:
        raise Skip("the answer is empty")
    if len(codes) != len(titles):
        raise Skip("codes and titles do not pair up")
    diagnoses = [{"code": filled(code, "code"), "title": filled(title, "title")} for code, title in zip(codes, titles)]
    yield Example(
        f"{row['hadm_id']} {fingerprint(note)}",
        INSTRUCTION,
        note,
        {"diagnoses": diagnoses},
        family=f"mimic {row['subject_id']}",
    )


LICENSE = "physionet-credentialed-health-data"
OWN = OwnFile(
    "ICD notes", "MEDSLM_ICD_NOTES", "a held-out part of the notes, https://physionet.org/content/mimiciv-note/"
)

corpora.add("mimic-icd-visit", Corpus(Dataset("rntc/mimic-icd-visit"), LICENSE, "ICD coding of notes", COLUMNS, visit))
# No test split is published: whoever holds the notes keeps patients back, and takes one visit of each.
benchmarks.add("icd-notes", Benchmark(OWN, LICENSE, "everything in one's own file of notes", visit))
