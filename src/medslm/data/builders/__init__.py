"""One file a source; importing this package registers every corpus and benchmark, and reads none of them."""

from medslm.data.builders import (
    asclepius,
    dialogue_notes,
    exams,
    icd10cm,
    icd10cm_list,
    icd_notes,
    instructions,
    legal,
    mathematics,
    med_safety,
    medical_o1,
    medical_qa,
    medicine_tasks,
    pubmed,
    pubmedqa,
    tinystories,
)

__all__ = [
    "asclepius",
    "dialogue_notes",
    "exams",
    "icd10cm",
    "icd10cm_list",
    "icd_notes",
    "instructions",
    "legal",
    "mathematics",
    "med_safety",
    "medical_o1",
    "medical_qa",
    "medicine_tasks",
    "pubmed",
    "pubmedqa",
    "tinystories",
]
