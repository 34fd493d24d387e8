"""Presidio beside the rules: both are heard, eponyms stay, nothing asks the network, and without the extra one line says so."""

from __future__ import annotations

import importlib.util
import pickle
import socket
from typing import Any

import pytest

from medslm.data.gates.phi import Scanner, presidio
from medslm.errors import MedslmError


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    """One model for all tests of this file: it takes seconds to load."""
    scanner = Scanner("presidio")
    scanner.scan("warm up")
    return scanner


def test_what_the_rules_find_the_other_engine_finds_too(scanner: Scanner) -> None:
    text = "MRN: 00482913. Dr. Okafor wrote to a.b@example.org on 03/14/2022."
    assert {span.type for span in Scanner().scan(text)} <= {span.type for span in scanner.scan(text)}


def test_a_name_that_no_rule_knows_is_found_by_the_model(scanner: Scanner) -> None:
    text = "Barack Obama visited. Destiny smiled when Hope arrived."
    assert len(scanner.scan(text)) >= len(Scanner().scan(text)) >= 1


@pytest.mark.parametrize(
    "text",
    [
        "Crohn disease and Addison disease were excluded.",
        "Lasix 40 mg twice daily for two weeks, monitored 24/7.",
        "Parkinson disease was diagnosed in 2011 in Canada.",
    ],
)
def test_what_the_model_takes_for_a_name_or_a_date_stays(scanner: Scanner, text: str) -> None:
    assert scanner.scan(text) == []


def test_the_model_alone_would_have_taken_it(scanner: Scanner) -> None:
    assert list(presidio.raw("Lasix 40 mg twice daily for two weeks, diagnosed in 2011 in Canada."))


def test_masked_text_scans_clean(scanner: Scanner) -> None:
    masked = scanner.mask("Dr. Okafor saw Wei Zhang in Tulsa on May 3rd, 2021; call 617-555-0139.")
    assert scanner.scan(masked) == [] and "Zhang" not in masked


def test_an_email_is_judged_without_the_network(scanner: Scanner, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert [found.type for found in presidio.raw("mail someone@somewhere.museum")].count("EMAIL") == 1


def test_a_scanner_with_a_model_goes_through_a_pickle(scanner: Scanner) -> None:
    assert pickle.loads(pickle.dumps(scanner)) == scanner and len(pickle.dumps(scanner)) < 500


def test_without_the_extra_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    presidio.analyzer.cache_clear()
    with pytest.raises(MedslmError, match=r'pip install "medslm\[phi\]"') as raised:
        Scanner("presidio").scan("Wei Zhang")
    assert "Zhang" not in str(raised.value)
