"""Medical questions and answers in free text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from medslm.data.benchmark import Benchmark, benchmarks
from medslm.data.builders.reading import family_of, pair, text_of
from medslm.data.corpus import Corpus, Row, corpora
from medslm.data.example import Example
from medslm.data.sources.hub import Dataset

INSTRUCTION = "Answer the medical question."
TASK = "medical question answering"

# Questions made from the sections of an encyclopedia of medicine. A third column, `system`, may ask for answers without
# safety advice; it is not read. No licence is stated, and the text is a publisher's.
corpora.add(
    "rk-medical-qa",
    Corpus(
        Dataset("rishabh9559/Rk_medical_QA"),
        "unknown",
        TASK,
        ("instruction", "output"),
        partial(pair, instruction=INSTRUCTION, question="instruction", answer="output"),
    ),
)

corpora.add(
    "medtext",
    Corpus(
        Dataset("BI55/MedText"),
        "cc-by-4.0",
        "diagnosis and treatment of described cases",
        ("Prompt", "Completion"),
        partial(pair, instruction="Assess this case and say what to do.", question="Prompt", answer="Completion"),
    ),
)


def medquad(row: Row) -> Iterator[Example]:
    """Questions of US health institutes; all questions on one disease or drug are one family."""
    for example in pair(row, instruction=INSTRUCTION, question="question", answer="answer"):
        focus = text_of(row["question_focus"])
        yield replace(example, family=family_of(focus)) if focus else example


# 31,034 of its 47,441 rows have no answer, for copyright's sake: they are skipped. The licence is that of its origin,
# https://github.com/abachaa/MedQuAD; the copy on the Hub states none.
corpora.add(
    "medquad",
    Corpus(Dataset("lavita/MedQuAD"), "cc-by-4.0", TASK, ("question_focus", "question", "answer"), medquad),
)

SYMPTOMS = partial(
    pair,
    instruction="Name the disease that these symptoms fit best.",
    question="input_text",
    answer="output_text",
)
corpora.add(
    "symptom-to-diagnosis",
    Corpus(
        Dataset("gretelai/symptom_to_diagnosis"),
        "apache-2.0",
        "diagnosis from symptoms, 22 diseases",
        ("input_text", "output_text"),
        SYMPTOMS,
    ),
)
benchmarks.add(
    "symptom-to-diagnosis",
    Benchmark(Dataset("gretelai/symptom_to_diagnosis", split="test"), "apache-2.0", "test", SYMPTOMS),
)
