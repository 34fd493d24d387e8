"""Words as numbers are the same everywhere, and an index gives back what was put in."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medslm.data.gates import near
from medslm.data.gates.ngrams import Index, number, numbers, runs, words


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Straße", "STRASSE"),
        ("ﬁbrosis", "FIBROSIS"),
        ("CO₂ 10²", "co2 102"),
        ("α-Ketoglutarate", "Α ketoglutarate"),
        ("ΰ", "ΰ".upper()),
        ("one____two", "One / two"),
        ("b\u00adlood\u200b", "blood"),
        ("\u2067b\u2069lo\ufe0fod", "blood"),
        ("b\0lo\x1bod", "blood"),
    ],
)
def test_spellings_of_one_text_have_the_same_words(text: str, same: str) -> None:
    assert words(text) == words(same) != []


def test_the_number_of_a_word_never_changes() -> None:
    """Screens are compared by what they find; a number that changed would find nothing in silence."""
    assert number("hepcidin") == 0x3FDC334B66E3AA66


@given(st.text(max_size=30))
@settings(deadline=None, derandomize=True)
def test_any_text_has_words_and_numbers(text: str) -> None:
    assert len(numbers(text)) == len(words(text))
    assert words(" ".join(words(text))) == words(text)


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 15))
@settings(deadline=None, derandomize=True)
def test_runs_are_equal_where_their_words_are(drawn: list[int], length: int) -> None:
    of_words = numpy.array(drawn, numpy.uint64) * numpy.uint64(12345678901234567) + numpy.uint64(1)
    found = runs(of_words, length).tolist()
    spelt = [tuple(drawn[start : start + length]) for start in range(len(drawn) - length + 1)]
    assert len(found) == len(spelt)
    assert len(set(found)) == len(set(spelt)) == len(set(zip(found, spelt)))


@given(st.lists(st.lists(st.integers(0, 20), max_size=8), max_size=8), st.lists(st.integers(0, 25), max_size=8))
@settings(deadline=None, derandomize=True)
def test_an_index_gives_every_place_of_a_number(parts: list[list[int]], asked: list[int]) -> None:
    index = Index.of([numpy.array(part, numpy.uint64) for part in parts])
    found = index.at(index.known(numpy.array(asked, numpy.uint64))).tolist()
    assert sorted(found) == sorted(place for one in asked for place, part in enumerate(parts) if one in part)


@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=9), min_size=1, max_size=9), st.data())
@settings(deadline=None, derandomize=True)
def test_the_index_finds_the_nearest_set_that_comparing_with_each_finds(
    parts: list[list[int]], data: st.DataObject
) -> None:
    """The filter that makes it fast leaves out no set that reaches the threshold."""
    text = data.draw(st.lists(st.integers(0, 14), min_size=1, max_size=9))
    sets = [numpy.unique(numpy.array(part, numpy.uint64)) for part in parts]
    weights = near.weigh(sets)
    known = dict(zip(weights.keys.tolist(), weights.values.tolist()))

    def similarity(part: list[int]) -> float:
        weight = {word: known.get(word, weights.unknown) for word in {*text, *part}}
        return sum(weight[word] for word in {*text} & {*part}) / sum(weight.values())

    nearest = max(similarity(part) for part in parts)
    found = near.bags(list(enumerate(sets)), weights).find(numpy.array(text, numpy.uint64))
    assert (found is not None) == (nearest >= near.WORDS_OF_FEW - 1e-9)
    assert found is None or found[0] == pytest.approx(nearest)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_minhash_finds_nearly_every_set_of_phrases_above_the_threshold(share: float) -> None:
    order = numpy.random.default_rng(1)
    both = int(200 * 2 * share / (1 + share)) + 2
    texts = [order.integers(1, 2**63, 202, numpy.uint64) for _ in range(60)]
    index = near.phrases(list(enumerate(texts)))
    found = 0
    for item, text in enumerate(texts):
        nearest = index.find(numpy.concatenate([text[: both + 1], order.integers(1, 2**63, 201 - both, numpy.uint64)]))
        found += nearest is not None and nearest[1] == item
        assert nearest is None or nearest[0] == pytest.approx(share, abs=0.02)
    assert found >= 58
