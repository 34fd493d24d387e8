"""Sample cases: whole, sourced, asked in the words of the lesson, and refused by place where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from medslm.data.builders import icd10cm, icd10cm_list, medical_qa, sample_cases
from medslm.data.suites import suites
from medslm.errors import MedslmError

TASKS = list(dict.fromkeys(task.name for suite in suites.values() for task in suite.tasks))
CASES = dict(sample_cases.of_tasks(TASKS))


def test_medical_questions_have_the_three_cases_asked_in_the_words_of_the_lesson() -> None:
    cases = CASES["medical_o1"]
    assert [case.example.id for case in cases] == ["chest-pain", "cardiac-symptoms", "diabetes-classification"]
    assert {case.example.instruction for case in cases} == {medical_qa.INSTRUCTION}
    for case in cases:
        assert len(case.example.text.split()) > 30 and case.example.text.endswith("?")
        assert len(case.example.answer.split()) > 20 and len(case.source.split()) > 4


def test_codes_of_a_list_are_those_of_the_code_system() -> None:
    (case,) = CASES["icd10cm_list"]
    import simple_icd_10_cm as icd

    assert case.example.instruction == icd10cm_list.INSTRUCTION
    assert not isinstance(case.example.input, str) and not isinstance(case.example.output, str)
    rows = case.example.output["diagnoses"]
    assert [icd.get_description(row["code"]) for row in rows] == list(case.example.input["statements"])
    assert {row["chapter"] for row in rows} <= set(icd10cm.chapters().values())


def test_a_set_goes_with_the_first_of_its_tasks_only() -> None:
    found = dict(sample_cases.of_tasks(["medical_o1_verifiable", "medical_o1", "billsum"]))
    assert list(found) == ["medical_o1_verifiable"] and len(found["medical_o1_verifiable"]) == 3
    assert dict(sample_cases.of_tasks(["billsum"])) == {}


def test_no_clinician_has_reviewed_them_and_the_file_says_so() -> None:
    comment = [line.removeprefix("# ") for line in sample_cases.FILE.read_text(encoding="utf-8").split("\n")[:10]]
    assert "no clinician has reviewed them" in " ".join(comment)


GOOD = "a:\n  tasks: [t]\n  instruction: Do.\n  cases:\n    - {id: 1, input: 2024-01-02, expected: 5, source: a book}\n"


def test_numbers_and_dates_of_yaml_are_text(tmp_path: Path) -> None:
    (tmp_path / "cases.yaml").write_text(GOOD, encoding="utf-8")
    ((_, (case,)),) = sample_cases.of_tasks(["t"], tmp_path / "cases.yaml")
    assert (case.example.id, case.example.input, case.example.output) == ("1", "2024-01-02", "5")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read"),
        ("a: [", "cannot be read"),
        ("[]", "must hold sets of sample cases by name, and is list"),
        ("a: {tasks: [t]}", "a must have tasks, instruction, cases, and has tasks"),
        (GOOD.replace("[t]", "[]"), "a has no list of tasks"),
        (GOOD.replace("[t]", "t"), "a has no list of tasks"),
        (GOOD.replace("Do.", "''"), "a has nothing under instruction"),
        (
            GOOD.replace(", source: a book", ""),
            "a, case 1 must have id, input, expected, source, and has id, input, exp",
        ),
        (GOOD.replace("expected: 5", "expected: "), "a, case 1 has nothing under expected"),
        (GOOD + GOOD.split("cases:\n")[1], "two cases called 1"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_refused_with_the_place(
    tmp_path: Path, text: str | None, told: str
) -> None:
    if text is not None:
        (tmp_path / "cases.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(MedslmError, match=told):
        list(sample_cases.of_tasks(["t"], tmp_path / "cases.yaml"))
