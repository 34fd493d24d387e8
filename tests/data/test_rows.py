"""A lesson becomes rows and a report whose numbers add up and which tells neither a patient nor a path."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import toy
import toy_world
from medslm import files
from medslm.data import rows
from medslm.data.example import Example
from medslm.data.rows import Rows
from medslm.errors import MedslmError
from medslm.recipe import Lesson
from toy_world import CODES, NAMED, NOTES

GATES = {
    "contamination": {"policy", "screened", "missing", "found", "pairs"},
    "deidentification": {"policy", "engine", "examples", "identifiers"},
    "quality": {"policy", "findings", "languages", "answers", "near_copies_across_validation"},
    "lengths": {"median", "90 %", "95 %", "99 %", "longest"},
    "license": {"id", "name", "link", "flags", "reasons", "publishable"},
}


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy_world.settle(monkeypatch)
    monkeypatch.setenv("MEDSLM_CACHE", str(tmp_path / "cache"))


@cache
def tokenizer() -> Any:
    return toy.tokenizer()


def build(*names: str, exam: tuple[str, ...] = ("exam",), base: str | None = "mit", **fields: Any) -> Rows:
    lesson = Lesson(**{"mixture": dict.fromkeys(names, 1.0), "validation_fraction": 0.2, **fields})
    return rows.build(lesson, tokenizer(), base, exam, keep=True)


def decoded(built: Rows) -> str:
    return "".join(tokenizer().decode(ids) for split in (built.train, built.validation) for ids in split["input_ids"])


def test_what_was_read_is_learnt_or_held_out_or_counted_once() -> None:
    built = build("lost", "codes", max_length=640)
    for report in built.corpora.values():
        gone = sum(report[what] for what in ("unusable", "contaminated", "repeated", "too_long"))
        assert report["read"] == gone + report["train"] + report["validation"]
    lost = built.corpora["lost"]
    assert {what: lost[what] for what in ("read", "unusable", "contaminated", "repeated", "too_long")} == {
        "read": 26,
        "unusable": 3,  # no answer twice, and a special token
        "contaminated": 1,
        "repeated": 1,
        "too_long": 1,
    }
    assert sum(report["taken"] for report in built.corpora.values()) == len(built.train)
    assert sum(report["validation"] for report in built.corpora.values()) == len(built.validation)
    ids = {Example.from_json(line).id for split in (built.train, built.validation) for line in split["example"]}
    assert ids == {one.id for one in [*NOTES, *CODES]}


def test_the_report_of_the_gates_is_complete_and_json() -> None:
    built = build("lost", "codes", "letters")
    assert {gate: set(told) for gate, told in built.gates.items()} == GATES
    assert files.as_json({"corpora": built.corpora, "gates": built.gates}) is not None
    gate = built.gates["contamination"]
    assert gate["screened"] == {"exam": 2} and set(gate["missing"]) == {"gone"}
    assert gate["found"] == {"lost": {"exam": 2}, "codes": {}, "letters": {}}
    assert {(pair["corpus"], pair["example"]) for pair in gate["pairs"]} == {
        ("lost", "thief"),
        ("lost", "hollow thief"),
    }
    assert built.gates["quality"]["answers"]["letters"]["n"] == 8


def test_a_benchmark_that_judges_must_be_readable_and_another_is_noted_as_missing() -> None:
    assert "gone" in build("notes").gates["contamination"]["missing"]
    with pytest.raises(MedslmError, match=r"benchmark 'gone' judges the result, .* org/gone could not be fetched"):
        build("notes", exam=("exam", "gone"))


def test_a_corpus_under_a_data_use_agreement_binds_what_is_made_of_it() -> None:
    terms = build("bound", "codes").gates["license"]
    assert terms["publishable"] is False and "data-use-agreement" in terms["flags"]
    assert any("'bound'" in reason for reason in terms["reasons"])
    assert build("notes", "codes").gates["license"]["publishable"] is True
    assert build("notes", base="unknown").gates["license"]["publishable"] is False


def test_two_corpora_can_be_written_in_two_formats() -> None:
    built = build("notes", "codes", format="chat", formats={"codes": "json"})
    assert {name: report["format"] for name, report in built.corpora.items()} == {"notes": "chat", "codes": "json"}
    text = decoded(built)
    assert '{"chapter":"Skin","code":"L1"}' in text and "chapter: Skin" not in text
    assert built.fields == {"Code it.": [], "Code the rash.": ["chapter", "code"]}


def test_masked_patients_are_neither_in_the_rows_nor_in_the_report() -> None:
    scanned, masked = build("patients"), build("patients", deidentify="mask")
    assert "Whitfield" in decoded(scanned) and "Whitfield" not in decoded(masked)
    for built, policy in ((scanned, "scan"), (masked, "mask")):
        gate = built.gates["deidentification"]
        assert (gate["policy"], gate["engine"], gate["examples"]) == (policy, "rules", {"patients": 6})
        told = json.dumps([built.corpora, built.gates, built.fields])
        assert not [value for value in ("Whitfield", "4482913", "03/14/2021") if value in told]
    off = build("patients", deidentify="off").gates["deidentification"]
    assert (off["engine"], off["identifiers"]) == (None, {"patients": {}})


def own_notes(folder: Path) -> str:
    folder.mkdir()
    lines = [json.dumps({"note": f"cough number {n}", "code": f"R{n}", "person": str(n)}) for n in range(9)]
    (folder / "notes.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return f"local:{folder / 'notes.jsonl'}"


def test_ones_own_files_are_mapped_and_no_report_tells_where_they_lie(tmp_path: Path) -> None:
    one, two = own_notes(tmp_path / "ward"), own_notes(tmp_path / "clinic")
    columns = {"input": "note", "output": "code", f"{one}:instruction": "=Code it.", f"{two}:instruction": "=Say it."}
    lesson = Lesson(
        mixture={one: 1.0, two: 2.0, "notes": 1.0}, columns=columns, licenses={one: "mit"}, formats={two: "toon"}
    )
    built = rows.build(lesson, tokenizer(), "mit", keep=True)
    called = ["local:notes.jsonl", "local:notes.jsonl (2)", "notes"]
    assert list(built.corpora) == called
    assert [built.corpora[name]["license"] for name in called] == ["mit", "unknown", "mit"]
    assert [built.corpora[name]["format"] for name in called] == ["chat", "toon", "chat"]
    assert "Say it." in decoded(built) and "cough number 3" in decoded(built)
    told = lesson.as_dict()
    assert str(tmp_path) not in json.dumps([built.corpora, built.gates, told], default=str)
    assert told["mixture"] == dict(zip(called, (1.0, 2.0, 1.0)))
    assert told["columns"]["local:notes.jsonl (2):instruction"] == "=Say it."


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"columns": {"local:x.csv:input": "note"}}, "'local:x.csv' is no corpus of one's own in the mixture"),
        ({"licenses": {"note": "mit"}}, "licenses=note; it must be one of the mixture: notes"),
        ({"deidentify": "masked"}, "deidentify=masked; it must be one of off, scan, mask, surrogate"),
        ({"contamination": "dropp"}, "contamination=dropp; it must be one of report, drop, fail"),
        ({"format": "chatt"}, "no format is called 'chatt'; did you mean 'chat'"),
        ({"mixture": {"notess": 1.0}}, "no corpus is called 'notess'; did you mean 'notes'"),
        ({"max_length": 5}, "nothing is left of corpus 'notes': 20 read, 20 longer than max_length=5"),
    ],
)
def test_what_cannot_be_built_is_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(MedslmError) as refusal:
        build("notes", **fields)
    assert sentence in str(refusal.value)


def test_an_adapter_has_no_fields_to_ask_for_where_an_instruction_names_a_patient(tmp_path: Path) -> None:
    lines = [json.dumps({"instruction": f"Code: {NAMED}", "input": f"{n}", "output": f"R{n}"}) for n in range(9)]
    (tmp_path / "own.jsonl").write_text("\n".join(lines), encoding="utf-8")
    built = build(f"local:{tmp_path / 'own.jsonl'}")
    assert built.fields == {}
    assert "Whitfield" in decoded(built)


def test_a_lesson_whose_right_answer_is_always_a_can_be_learnt_in_a_drawn_order(tmp_path: Path) -> None:
    places = ("neck", "chest", "back", "foot", "hand", "knee")
    asked = [
        {
            "question": f"Where is sign {n} found in a patient of {n} years?",
            "options": [*places[n % 3 : n % 3 + 3]],
            "answer": "A",
        }
        for n in range(40)
    ]
    path = tmp_path / "exam.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in asked), encoding="utf-8")
    name = f"local:{path}"
    found = {
        order: rows.build(
            Lesson(mixture={name: 1}, option_order=order, validation_fraction=0.2, duplicates="report"),
            tokenizer(),
            "mit",
        )
        for order in ("given", "shuffled")
    }
    answers = {order: next(iter(built.gates["quality"]["answers"].values())) for order, built in found.items()}
    assert answers["given"]["most"] == "A" and "option_order=shuffled" in answers["given"]["warning"]
    assert answers["shuffled"]["warning"] is None and answers["shuffled"]["classes"] == 3
