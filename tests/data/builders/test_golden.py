"""Every corpus and benchmark on a hand-written row in its published schema, with the exact example that must come out."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medslm.data import builders, suites
from medslm.data.benchmark import benchmarks
from medslm.data.builders.joined import Joined
from medslm.data.builders.pubmedqa import Labelled
from medslm.data.corpus import Corpus, corpora
from medslm.data.example import Example
from medslm.data.formats import formats
from medslm.data.formats.notation import fields_of
from medslm.data.license import TERMS
from medslm.data.sources.hub import Dataset
from medslm.errors import MedslmError
from toy_data import Rows

assert builders and suites  # their import fills the registries

GOLDEN = [
    json.loads(line) for line in (Path(__file__).parent / "golden.jsonl").read_text(encoding="utf-8").splitlines()
]
NAMES = [f"{golden['kind']} {golden['name']}" for golden in GOLDEN]


def functions(golden: dict[str, Any]) -> Any:
    name = golden["name"]
    return corpora[name].examples if golden["kind"] == "corpus" else benchmarks[name].items


class Spy(dict[str, Any]):
    """A row that remembers which columns were read."""

    def __init__(self, row: dict[str, Any]) -> None:
        super().__init__(row)
        self.read: set[str] = set()

    def __getitem__(self, column: str) -> Any:
        self.read.add(column)
        return super().__getitem__(column)

    def get(self, *_: Any) -> Any:
        raise AssertionError("a row function reads what is promised, so it has no default")


@pytest.fixture(params=GOLDEN, ids=NAMES)
def golden(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


def test_no_corpus_and_no_benchmark_is_without_a_golden_row() -> None:
    assert sorted(NAMES) == sorted(
        [*(f"corpus {name}" for name in corpora), *(f"benchmark {name}" for name in benchmarks)]
    )


def test_a_row_gives_exactly_its_example(golden: dict[str, Any]) -> None:
    assert list(functions(golden)(golden["row"])) == [Example.from_json(json.dumps(golden["example"]))]


def test_a_corpus_promises_exactly_the_columns_it_reads(golden: dict[str, Any]) -> None:
    if golden["kind"] == "corpus":
        row = Spy(golden["row"])
        list(functions(golden)(row))
        assert row.read == set(corpora[golden["name"]].columns)


def test_a_row_without_a_promised_column_is_refused_by_name(golden: dict[str, Any]) -> None:
    if golden["kind"] == "corpus":
        corpus = corpora[golden["name"]]
        for column in corpus.columns:
            row = {name: cell for name, cell in golden["row"].items() if name != column}
            with pytest.raises(MedslmError, match=f"has no column {column}; it has"):
                list(corpus.of_row(3, row))


def test_worker_processes_can_be_given_the_row_function_and_the_source(golden: dict[str, Any]) -> None:
    record = corpora[golden["name"]] if golden["kind"] == "corpus" else benchmarks[golden["name"]]
    again = pickle.loads(pickle.dumps(functions(golden)))
    assert list(again(golden["row"])) == list(functions(golden)(golden["row"]))
    assert pickle.loads(pickle.dumps(record.source)) == record.source


def test_a_row_function_leaves_its_row_as_it_was(golden: dict[str, Any]) -> None:
    before = json.dumps(golden["row"])
    list(functions(golden)(golden["row"]))
    assert json.dumps(golden["row"]) == before


def test_a_lettered_answer_is_one_of_the_letters_shown(golden: dict[str, Any]) -> None:
    example = golden["example"]
    if example["options"] and isinstance(example["output"], str):
        assert example["output"] in "ABCDEFGHIJ"[: len(example["options"])]


@pytest.mark.parametrize("format", ["toon", "json"])
def test_a_structured_answer_is_read_back_as_it_was_written(golden: dict[str, Any], format: str) -> None:
    example = Example.from_json(json.dumps(golden["example"]))
    if not isinstance(example.output, str):
        reply = formats[format].answer_of(example)
        assert formats[format].read(reply, fields_of(example.output)).fields == example.output


def test_every_licence_is_in_the_table_or_unknown() -> None:
    used = {name: record.license for registry in (corpora, benchmarks) for name, record in registry.items()}
    assert {name: license for name, license in used.items() if license not in TERMS and license != "unknown"} == {}


def test_what_is_derived_from_patients_records_is_under_their_agreement() -> None:
    assert corpora["mimic-icd-visit"].license == "physionet-credentialed-health-data"


def splits(source: Any) -> Iterator[tuple[str, str | None, str]]:
    """Hub id, configuration and split of every part of a source on the Hub."""
    if isinstance(source, Joined):
        for part in source.parts:
            yield from splits(part)
    elif isinstance(source, Labelled):
        yield from splits(source.source)
    elif isinstance(source, Dataset):
        yield source.hub_id, source.config, source.split


def test_no_corpus_reads_a_split_that_a_benchmark_reads() -> None:
    learnt = {split: name for name, corpus in corpora.items() for split in splits(corpus.source)}
    examined = {split: name for name, benchmark in benchmarks.items() for split in splits(benchmark.source)}
    # one split holds both sides: a column says which row is on which (test_pubmedqa.py), or a hash (test_medical_o1.py,
    # test_held_out.py)
    assert learnt.keys() & examined.keys() == {
        ("qiaojin/PubMedQA", "pqa_labeled", "train"),
        ("FreedomIntelligence/medical-o1-reasoning-SFT", "en", "train"),
        ("starmpcc/Asclepius-Synthetic-Clinical-Notes", None, "train"),
    }


def test_only_prompts_that_have_no_other_split_are_learnt_from_a_test_split() -> None:
    other = {name for name, corpus in corpora.items() for _, _, split in splits(corpus.source) if split != "train"}
    assert other == {"medicine-tasks-chemprot", "medicine-tasks-mqp", "medicine-tasks-rct"}


def test_lesson_and_exam_ask_the_same_question_in_the_same_words() -> None:
    for name in set(corpora) & set(benchmarks) - {"icd10cm-list", "pubmedqa"}:
        row = next(golden["row"] for golden in GOLDEN if golden["name"] == name)
        lesson, item = next(iter(corpora[name].examples(row))), next(iter(benchmarks[name].items(row)))
        assert (lesson.instruction, lesson.input, lesson.options) == (item.instruction, item.input, item.options)
        assert (lesson.family, lesson.id) == (item.family, item.id)


@pytest.mark.parametrize("empty", [None, "", " \n", float("nan")])
def test_a_row_with_an_empty_cell_is_skipped_and_counted(empty: Any) -> None:
    texts = {
        "asclepius-notes": ("note", "question", "answer"),
        "aci-bench": ("dialogue", "note"),
        "alpaca-cleaned": ("instruction", "output"),
        "chatdoctor-healthcaremagic": ("instruction", "input", "output"),
        "gsm8k-reasoning": ("question", "answer"),
        "medical-o1-reasoning": ("Question", "Complex_CoT", "Response"),
        "medicine-tasks-mqp": ("input",),
        "medmcqa-explained": ("question", "opb", "exp"),
        "medmcqa-reasoned": ("question", "opb", "exp"),
        "medquad": ("question", "answer"),
        "mimic-icd-visit": ("cleaned_text", "icd_code"),
        "mts-dialog": ("section_header", "section_text", "dialogue"),
        "mts-dialog-fields": ("section_text", "dialogue"),
        "pubmedqa-artificial": ("question",),
        "tinystories": ("text",),
    }
    for name, columns in texts.items():
        row = next(golden["row"] for golden in GOLDEN if golden["name"] == name and golden["kind"] == "corpus")
        for column in columns:
            cell = [] if column == "icd_code" else empty
            skipped: dict[str, int] = {}
            assert list(of(name, {**row, column: cell}).load(skipped)) == [], (name, column)
            assert list(skipped.values()) == [1]
            assert next(iter(skipped)).endswith("is empty")


def of(name: str, *rows: dict[str, Any]) -> Corpus:
    """A corpus of these rows, read as `name` reads its own."""
    corpus = corpora[name]
    return Corpus(Rows(rows), corpus.license, corpus.task, corpus.columns, corpus.examples)
