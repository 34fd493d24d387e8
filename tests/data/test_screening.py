"""What a gate did is said in a line before the run starts, also that it was off or could not look."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from medslm.data import screening

CORPUS = {
    "license": "mit",
    "skipped": {},
    "read": 9,
    "unusable": 0,
    "contaminated": 0,
    "repeated": 0,
    "near": 0,
    "too_long": 0,
}
GATES: dict[str, Any] = {
    "contamination": {"policy": "drop", "screened": {"medqa": 1200, "mmlu": 34}, "missing": {}},
    "deidentification": {"policy": "scan", "engine": "rules", "examples": {"notes": 0}, "identifiers": {"notes": {}}},
    "quality": {"findings": {"notes": {}}, "answers": {}, "near_copies_across_validation": 0},
    "lengths": {"median": 1200},
    "license": {"id": "mit", "name": None, "flags": []},
}
QUIET = [
    "notes (mit): 9 examples read",
    "contamination (drop): compared with 1,234 items of 2 benchmarks",
    "identifiers of patients (rules): none found",
    "tokens an example: median 1,200",
    "licence of what is trained: mit",
]


def lines(corpus: dict[str, Any] | None = None, **gates: dict[str, Any]) -> list[str]:
    told = copy.deepcopy(GATES)
    for name, changes in gates.items():
        told[name].update(changes)
    return list(screening.lines({"notes": CORPUS | (corpus or {})}, told))


def test_where_nothing_was_found_each_gate_says_so() -> None:
    assert lines() == QUIET


def test_every_loss_of_a_corpus_is_in_its_line() -> None:
    lost = {"unusable": 1, "contaminated": 2, "repeated": 3, "near": 4, "too_long": 5, "skipped": {"no key": 6}}
    said = lines(lost)[0]
    assert said == (
        "notes (mit): 9 examples read, 6 rows skipped (no key), 1 without question or answer, 2 copies of test items, "
        "3 repetitions, 4 near copies of others, 5 longer than max_length"
    )
    assert set(screening.DROPS) == set(lost) - {"skipped"}


@pytest.mark.parametrize(
    ("gate", "changes", "said"),
    [
        ("contamination", {"missing": {"gone": "offline"}}, "; NOT with gone, which cannot be read here"),
        ("deidentification", {"policy": "off"}, "identifiers of patients: not looked for (deidentify=off)"),
        (
            "deidentification",
            {"examples": {"a": 1000, "b": 1}, "identifiers": {"a": {"NAME": 2, "DATE": 1}, "b": {"NAME": 1}}},
            "in 1,001 examples, counted, not replaced: DATE 1, NAME 3",
        ),
        ("deidentification", {"policy": "mask", "examples": {"a": 1}, "identifiers": {"a": {"NAME": 2}}}, "replaced: NAME 2"),
        ("quality", {"findings": {"notes": {"HTML": 1500}}}, "quality of notes: HTML 1,500"),
        ("quality", {"answers": {"notes": {"warning": "A is the key of 90 %"}}}, "answers of notes: A is the key of 90 %"),
        ("quality", {"near_copies_across_validation": 7}, "7 validation examples have a near copy among those learnt"),
        ("license", {"id": "other", "name": "unknown", "flags": ["unknown"]}, "is trained: unknown (unknown)"),
    ],
)  # fmt: skip
def test_what_a_gate_found_is_said(gate: str, changes: dict[str, Any], said: str) -> None:
    new = [line for line in lines(**{gate: changes}) if line not in QUIET]
    assert len(new) == 1 and said in new[0]


def test_a_dataset_without_tokens_has_no_line_of_lengths() -> None:
    told = {name: gate for name, gate in GATES.items() if name != "lengths"}
    assert list(screening.lines({"notes": CORPUS}, told)) == [line for line in QUIET if "tokens" not in line]
