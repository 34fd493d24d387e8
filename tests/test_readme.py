"""The README's figures of the quickstart are made of a file of scores, and never typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from medslm import catalogue
from medslm.evals import positions, scores, table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCORES = ROOT / "docs" / "smollm2-icd10-lora-scores.json"
EXAMS = ("smollm2-exams-lora-scores.json", "smollm2-exams-lora-pubmedqa-scores.json")


def test_the_results_table_is_that_of_the_scores() -> None:
    found = scores.read(SCORES, made_by="make quickstart")
    assert found["limit"] is None
    assert table.markdown(found) in README


@pytest.mark.parametrize("name", EXAMS)
def test_the_tables_of_the_exams_are_those_of_the_scores_with_what_they_give_to_think_of(name: str) -> None:
    found = scores.read(ROOT / "docs" / name, made_by="medslm eval")
    assert found["limit"] is None
    said = positions.told(found["results"], found["picks"])
    assert said
    assert set(said) <= set(found["notes"])
    assert table.markdown(found, primary_only=True) in README


def test_every_document_that_the_readme_links_is_there() -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert linked and all((ROOT / path).exists() for path in linked), linked


def test_as_many_corpora_and_benchmarks_are_registered_as_it_says() -> None:
    listed = dict(catalogue.lines())
    assert f"{len(listed['corpora'])} corpora and {len(listed['benchmarks'])} benchmarks are registered" in README
