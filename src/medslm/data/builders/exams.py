"""Exam questions with options: MedQA and MedMCQA to learn from and be judged on, the others for judging only."""

from __future__ import annotations

import ast
import itertools
import random
from collections.abc import Iterator
from dataclasses import replace

from medslm.data import reasoned
from medslm.data.benchmark import Benchmark, benchmarks
from medslm.data.builders.choice import choice, key_of
from medslm.data.builders.joined import Joined
from medslm.data.builders.reading import filled, mapped, text_of
from medslm.data.corpus import Corpus, Row, Skip, corpora
from medslm.data.example import Example
from medslm.data.sources.hub import Dataset
from medslm.errors import MedslmError

TASK = "medical exam questions"
MEDQA, MEDMCQA = "GBaker/MedQA-USMLE-4-options-hf", "openlifescienceai/medmcqa"
MEDQA_COLUMNS = ("id", "sent1", "ending0", "ending1", "ending2", "ending3", "label")
MEDMCQA_COLUMNS = ("id", "question", "opa", "opb", "opc", "opd", "cop")
SUBJECTS = (  # of MMLU, those of medicine (arXiv:2212.13138)
    "anatomy",
    "clinical_knowledge",
    "college_biology",
    "college_medicine",
    "medical_genetics",
    "professional_medicine",
)
REFUSAL = "i do not know"


def medqa(row: Row) -> Iterator[Example]:
    """US licensing exams (arXiv:2009.13081), with four options or, in the authors' other edition, five.

    `sent2` is empty in every row and not read.
    """
    more = (f"ending{n}" for n in itertools.count(4))
    further = [row[name] for name in itertools.takewhile(lambda name: name in row and text_of(row[name]), more)]
    four = (row[f"ending{n}"] for n in range(4))
    yield choice(row["sent1"], [*four, *further], row["label"], id=str(row["id"]))


def medmcqa(row: Row) -> Iterator[Example]:
    """Indian entrance exams (arXiv:2203.14371). `cop` counts from 0 on the Hub and is -1 where the key is hidden.

    The JSON of the authors counts from 1; its rows raise `MedslmError` at the first 4, for no fourth option is then left.
    """
    yield choice(row["question"], [row[f"op{letter}"] for letter in "abcd"], row["cop"], id=str(row["id"]))


def medmcqa_explained(row: Row) -> Iterator[Example]:
    """The same, with the teacher's explanation as the thoughts before the answer."""
    for example in medmcqa(row):
        yield replace(example, reasoning=filled(row["exp"], "explanation"))


def medmcqa_reasoned(row: Row) -> Iterator[Example]:
    """The explanation as the beginning of the answer, which ends in the line that the exam in writing asks for.

    Where the explanation names another option as the answer than the key does, one of the two is wrong.
    """
    for example in medmcqa_explained(row):
        if reasoned.contradicts(example):
            raise Skip("the explanation names another option")
        yield reasoned.lesson(example)


def mmlu(row: Row) -> Iterator[Example]:
    """MMLU (arXiv:2009.03300); its rows have no id."""
    yield choice(row["question"], row["choices"], row["answer"])


def medxpertqa(row: Row) -> Iterator[Example]:
    """Expert questions with ten options (arXiv:2501.18362); a question that repeats its options is asked without them."""
    question = text_of(row["question"]).split("\nAnswer Choices: (A)")[0]
    options = mapped(row["options"], "options")
    yield choice(question, [options[letter] for letter in sorted(options)], key_of(row["label"]), id=str(row["id"]))


def medbullets(row: Row) -> Iterator[Example]:
    """Questions of US exams, steps 2 and 3 (arXiv:2402.18060), with four options or five."""
    options = [row[f"op{letter}"] for letter in "abcde" if text_of(row[f"op{letter}"])]
    yield choice(row["question"], options, key_of(row["answer_idx"]))


def medhalt_fake(row: Row) -> Iterator[Example]:
    """Questions without sense (arXiv:2307.15343): the right answer is the last option that says that one does not know.

    It is the last of all in nearly every row, so the options are put in an order drawn by the question: who always names
    the last one should not look wise. Raises `MedslmError` if the options cannot be read.
    """
    question = filled(row["question"], "question")
    try:
        read = [str(option) for option in ast.literal_eval(row["options"]).values()]
    except (ValueError, SyntaxError, AttributeError):
        raise MedslmError(
            f"the options of the question '{question[:60]}' are no dictionary in Python's notation: "
            f"{str(row['options'])[:60]}"
        ) from None
    options = [option for option in read if option.strip()]
    refusals = [option for option in options if REFUSAL in option.casefold()]
    if not refusals or len(options) < 2:
        raise Skip("no option beside others says that one does not know")
    random.Random(question).shuffle(options)  # a text as seed gives the same order on every machine
    yield choice(question, options, options.index(refusals[-1]), id=str(row["id"]))


corpora.add("medqa", Corpus(Dataset(MEDQA), "cc-by-sa-4.0", TASK, MEDQA_COLUMNS, medqa))
corpora.add("medmcqa", Corpus(Dataset(MEDMCQA), "apache-2.0", TASK, MEDMCQA_COLUMNS, medmcqa))
corpora.add(
    "medmcqa-explained",
    Corpus(Dataset(MEDMCQA), "apache-2.0", f"{TASK} with explanations", (*MEDMCQA_COLUMNS, "exp"), medmcqa_explained),
)
corpora.add(
    "medmcqa-reasoned",
    Corpus(Dataset(MEDMCQA), "apache-2.0", f"{TASK} answered in writing", (*MEDMCQA_COLUMNS, "exp"), medmcqa_reasoned),
)

benchmarks.add("medqa", Benchmark(Dataset(MEDQA, split="test"), "cc-by-sa-4.0", "test", medqa))
benchmarks.add(  # the key of its test split is hidden
    "medmcqa", Benchmark(Dataset(MEDMCQA, split="validation"), "apache-2.0", "validation", medmcqa)
)
for _subject in SUBJECTS:
    benchmarks.add(
        f"mmlu-{_subject.replace('_', '-')}", Benchmark(Dataset("cais/mmlu", _subject, "test"), "mit", "test", mmlu)
    )
benchmarks.add(
    "medxpertqa", Benchmark(Dataset("TsinghuaC3I/MedXpertQA", "Text", "test"), "mit", "test of Text", medxpertqa)
)
_MEDBULLETS = Joined(tuple(Dataset("LangAGI-Lab/medbullets", split=split) for split in ("train", "test")))
benchmarks.add("medbullets", Benchmark(_MEDBULLETS, "unknown", "everything: it is an exam as a whole", medbullets))
benchmarks.add(
    "medhalt-fake",
    Benchmark(
        Dataset("openlifescienceai/Med-HALT", "reasoning_fake"),
        "apache-2.0",
        "everything: it is an exam as a whole",
        medhalt_fake,
    ),
)
