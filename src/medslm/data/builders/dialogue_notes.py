"""From what doctor and patient said to the note: MTS-Dialog (sections) and ACI-Bench (whole visits)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from medslm.data.benchmark import Benchmark, benchmarks
from medslm.data.builders.joined import Joined
from medslm.data.builders.reading import family_of, filled, fingerprint, pair
from medslm.data.corpus import Corpus, Row, Skip, corpora
from medslm.data.example import Example
from medslm.data.sources.hub import Dataset

LICENSE = "cc-by-4.0"  # that of both origins; one copy on the Hub states another, one none

MTS_DIALOG = "lyumengxian/MTS-Dialog"  # the authors' text; https://github.com/abachaa/MTS-Dialog
MTS_COLUMNS = ("section_header", "section_text", "dialogue")

FIELDS = {"symptoms": "Symptoms", "diagnosis": "Diagnosis", "history": "History of Patient", "plan": "Plan of Action"}
"""Field of the answer -> its heading in the copy that was rewritten into four fields."""

_FIELDS = re.compile(r"\n".join(rf"{heading}:(.*)" for heading in FIELDS.values()), re.DOTALL)


def section(row: Row) -> Iterator[Example]:
    """One section of a note (doi:10.18653/v1/2023.eacl-main.168); which one is said in the input."""
    header, said = filled(row["section_header"], "section"), filled(row["dialogue"], "question")
    written = filled(row["section_text"], "answer")
    yield Example(
        fingerprint(header, said, written),
        "Write the named section of the clinical note on this conversation.",
        {"section": header, "conversation": said},
        written,
        family_of(said),
    )


def four_fields(row: Row) -> Iterator[Example]:
    """The same conversations, with the note as four named fields (`N/A` where nothing was said)."""
    said, written = filled(row["dialogue"], "question"), filled(row["section_text"], "answer")
    found = _FIELDS.fullmatch(written.replace("\r\n", "\n").strip())
    if not found:
        raise Skip("the note is not in its four fields")
    fields = {name: text.strip() for name, text in zip(FIELDS, found.groups())}
    yield Example(fingerprint(said, written), "Write down what this conversation tells.", said, fields, family_of(said))


corpora.add("mts-dialog", Corpus(Dataset(MTS_DIALOG), LICENSE, "sections of notes", MTS_COLUMNS, section))
benchmarks.add("mts-dialog", Benchmark(Dataset(MTS_DIALOG, split="test"), LICENSE, "test", section))
# Its split holds the training and the validation conversations of the origin, and none of the tests.
corpora.add(
    "mts-dialog-fields",
    Corpus(
        Dataset("har1/MTS_Dialogue-Clinical_Note"),
        LICENSE,
        "notes as named fields",
        ("section_text", "dialogue"),
        four_fields,
    ),
)


def _aci_bench(*splits: str) -> Joined:
    subsets = ("virtassist", "virtscribe", "aci")
    return Joined(tuple(Dataset("mkieffer/ACI-Bench", subset, split) for split in splits for subset in subsets))


VISIT = partial(pair, instruction="Write the clinical note of this visit.", question="dialogue", answer="note")
corpora.add("aci-bench", Corpus(_aci_bench("train"), LICENSE, "notes of visits", ("dialogue", "note"), VISIT))
benchmarks.add(  # doi:10.1038/s41597-023-02487-3
    "aci-bench", Benchmark(_aci_bench("test1", "test2", "test3"), LICENSE, "test1, test2 and test3", VISIT)
)
