"""A mixture takes what was asked for, in an order that the seed decides, and tears no family apart."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medslm.data import mixture
from medslm.data.gates import contamination
from medslm.data.gates.contamination import Screen
from medslm.data.mixture import Mixture
from medslm.errors import MedslmError
from toy_data import benchmarks, corpora, example

NOTES = [example(f"note number {n}", f"n{n}", f"family {n // 2}") for n in range(40)]
LAWS = [example(f"law paragraph {n}", f"l{n}", f"law {n}") for n in range(20)]


@pytest.fixture(autouse=True)
def toy_world(monkeypatch: pytest.MonkeyPatch) -> None:
    held = benchmarks(exam=["note number 7", "a whole corpus"])
    monkeypatch.setattr(contamination, "benchmarks", held)
    stolen = [example("A whole corpus!", str(n), str(n)) for n in range(3)]
    small = [example("small one", "1", "family 1"), example("small two", "2", "family 2")]
    relatives = [example(f"relative {n}", f"r{n}", f"family {n // 2}") for n in range(40)]
    registry = corpora(notes=NOTES, laws=LAWS, stolen=stolen, small=small, empty=[], lonely=NOTES[:2], kin=relatives)
    monkeypatch.setattr(mixture, "corpora", registry)


def load(seed: int = 1, fraction: float = 0.1, **passes: float) -> Mixture:
    return mixture.load(passes, fraction, seed, Screen(["exam"]))


def ids(examples: list[mixture.Example]) -> list[str]:
    return [example.id for example in examples]


@pytest.mark.parametrize(("passes", "times"), [(1, {1}), (2, {2}), (0.5, {0, 1}), (2.5, {2, 3})])
def test_a_corpus_is_passed_over_as_often_as_asked(passes: float, times: set[int]) -> None:
    mixed = load(notes=passes)
    learnt = [example for example in NOTES if example.id not in {*ids(mixed.validation), "n7"}]
    seen = Counter(ids(mixed.train))
    assert {seen[example.id] for example in learnt} == times
    assert len(mixed.train) == round(passes * len(learnt))
    assert set(seen) <= set(ids(learnt))


def test_everything_read_is_trained_on_or_held_out_or_reported() -> None:
    mixed = load(notes=1, laws=1)
    assert mixed.read == {"laws": 20, "notes": 40}
    assert [(hit.corpus, hit.example, hit.item) for hit in mixed.contaminated] == [("notes", "n7", "0")]
    assert sorted([*ids(mixed.train), *ids(mixed.validation), "n7"]) == sorted(ids(NOTES + LAWS))


def test_the_same_seed_gives_the_same_order_and_another_seed_another() -> None:
    assert load(seed=1, notes=0.5, laws=1) == load(seed=1, laws=1, notes=0.5)
    assert load(seed=1, notes=1).train != load(seed=2, notes=1).train
    assert ids(load(notes=1).train) != sorted(ids(load(notes=1).train), key=ids(NOTES).index)


def test_the_order_does_not_depend_on_the_process() -> None:
    script = (
        "import random\nfrom medslm.data import mixture\nfrom medslm.data.example import Example\n"
        "some = [Example(str(n), '', '', '', 'family %d' % (n // 2)) for n in range(40)]\n"
        "print(sorted(mixture.held_out_families(some, 0.3, random.Random(1))))"
    )
    command = [sys.executable, "-c", script]
    said = {
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": hashing}, check=True, capture_output=True, timeout=60
        ).stdout
        for hashing in ("0", "1", "2")
    }
    assert len(said) == 1 and b"family" in said.pop()


@given(
    families=st.lists(st.integers(0, 20), min_size=2, max_size=60).filter(lambda drawn: len(set(drawn)) > 1),
    fraction=st.floats(0.001, 0.999),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, derandomize=True)
def test_some_families_are_held_out_and_some_are_not(families: list[int], fraction: float, seed: int) -> None:
    some = [example("text", str(n), str(family)) for n, family in enumerate(families)]
    held_out = mixture.held_out_families(some, fraction, random.Random(seed))
    assert held_out < {example.family for example in some}
    assert len(held_out) in {1, len(set(families)) - 1} or abs(len(held_out) - fraction * len(set(families))) <= 0.5


@pytest.mark.parametrize("seed", range(5))
def test_no_family_stands_on_both_sides_even_of_two_corpora(seed: int) -> None:
    mixed = load(seed=seed, fraction=0.3, notes=1, kin=2, laws=0.5)
    torn = {example.family for example in mixed.train} & {example.family for example in mixed.validation}
    assert mixed.validation and not torn


@pytest.mark.parametrize(
    ("passes", "sentence"),
    [
        ({"stolen": 1}, "nothing is left of corpus 'stolen': 3 read, 3 in a benchmark"),
        ({"empty": 1}, "nothing is left of corpus 'empty': 0 read, 0 in a benchmark"),
        ({"lonely": 1}, "the mixture has 1 family of examples; training and validation need one each: add data"),
        ({"small": 0.4}, "0.4 passes over the 1 training examples of corpus 'small' take none; raise its passes"),
        ({"ntoes": 1}, "no corpus is called 'ntoes'; did you mean 'notes'?"),
    ],
)
def test_a_mixture_with_nothing_in_it_is_a_sentence(passes: dict[str, float], sentence: str) -> None:
    with pytest.raises(MedslmError) as refusal:
        load(**passes)
    assert str(refusal.value).startswith(sentence)
