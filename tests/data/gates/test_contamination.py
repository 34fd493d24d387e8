"""The gate lets the thief in by every door known, and catches it; and it lets honest examples pass."""

from __future__ import annotations

import pytest

from medslm.data.gates import contamination
from medslm.data.gates.contamination import NEAR, Hit, Screen
from medslm.errors import MedslmError
from toy_data import benchmarks, example

ITEM = "Acute myocardial infarction of the anterior wall, with café-au-lait spots in 2 places"


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    held = benchmarks(exam=["Cholera due to Vibrio cholerae 01", ITEM], other=["Benign neoplasm of the left eyelid"])
    monkeypatch.setattr(contamination, "benchmarks", held)
    return Screen(held)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(ITEM, id="exact"),
        pytest.param(ITEM.upper(), id="other case"),
        pytest.param(" ".join(reversed(ITEM.split())), id="reordered"),
        pytest.param(ITEM.replace(",", " --").replace(" ", "\n") + "!!!", id="other punctuation and spaces"),
        pytest.param(ITEM.replace("é", "e\u0301"), id="accent in two characters"),
        pytest.param("".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in ITEM), id="full-width letters"),
        pytest.param(ITEM + ", unspecified", id="one word more"),
        pytest.param(ITEM.replace("Acute ", ""), id="one word less"),
        pytest.param(ITEM.replace("places", "sites"), id="one word other"),
        pytest.param(f"{ITEM} {ITEM}", id="twice"),
    ],
)
def test_a_copy_of_a_test_item_is_caught(screen: Screen, text: str) -> None:
    clean, hits = screen.split("corpus", [example(text, "thief")])
    assert clean == []
    assert [(hit.corpus, hit.example, hit.benchmark, hit.item) for hit in hits] == [("corpus", "thief", "exam", "1")]
    assert NEAR <= hits[0].similarity <= 1


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Acute myocardial infarction of the inferior wall", id="another statement of the same illness"),
        pytest.param("Cholera", id="one word of an item"),
        pytest.param(ITEM + " and many other words that make of it another statement altogether", id="much longer"),
        pytest.param("Fracture of femur", id="other words"),
        pytest.param("", id="empty"),
        pytest.param("...", id="no words"),
    ],
)
def test_a_different_statement_is_kept(screen: Screen, text: str) -> None:
    honest = example(text)
    assert screen.split("corpus", [honest]) == ([honest], [])


def test_the_closest_of_several_items_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    held = benchmarks(exam=["a b c d e f", "a b c d e", "a b c d"])
    monkeypatch.setattr(contamination, "benchmarks", held)
    assert Screen(held).split("corpus", [example("E D C B A", "x")])[1] == [Hit("corpus", "x", "exam", "1", 1.0)]


def test_the_border_counts_as_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    held = benchmarks(exam=["a b c d"])
    monkeypatch.setattr(contamination, "benchmarks", held)
    assert Screen(held).find(example("a b c d e")) == ("exam", "0", NEAR)
    assert Screen(held).find(example("a b c e")) is None


def test_only_the_benchmarks_named_are_screened(monkeypatch: pytest.MonkeyPatch, screen: Screen) -> None:
    assert Screen(["other"]).find(example(ITEM)) is None
    with pytest.raises(MedslmError, match="no benchmark is called 'exma'; did you mean 'exam'"):
        Screen(["exma"])
