"""A mixture takes what was asked for, in an order that the seed decides, and tears no family apart."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medslm.data import mixture
from medslm.data.corpus import Corpus
from medslm.data.example import Example
from medslm.data.gates import contamination
from medslm.data.gates.contamination import Screen
from medslm.data.mixture import Mixture
from medslm.data.prepare import Preparation, Prepared, prepare
from medslm.errors import MedslmError
from medslm.recipe import Lesson
from medslm.registry import Registry
from toy_data import benchmarks, corpora, example

NOTES = [example(f"note number {n}", f"n{n}", f"family {n // 2}") for n in range(40)]
LAWS = [example(f"law paragraph {n}", f"l{n}", f"law {n}") for n in range(20)]
KIN = [example(f"relative {n}", f"r{n}", f"family {n // 2}") for n in range(40)]
STOLEN = [example(f"{'A' * (n + 1)} whole corpus of words!", str(n), str(n)) for n in range(3)]
WORDS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
NEARLY = [example(f"{WORDS} {WORDS[::-1]} {n}", f"c{n}", f"close {n}") for n in range(9)]
EXAM = benchmarks(exam=["note number 7", *(one.text for one in STOLEN)])
CORPORA = corpora(
    notes=NOTES,
    laws=LAWS,
    kin=KIN,
    stolen=STOLEN,
    small=[example("small one", "1", "family 1"), example("small two", "2", "family 2")],
    lonely=NOTES[:2],
    twice=[*LAWS, *(replace(law, id=f"{law.id} again", family="another") for law in LAWS[:5])],
    nearly=[*NEARLY, *LAWS],
    hollow=[*LAWS, replace(LAWS[0], id="hollow", output="")],
)


def prepared(registry: Registry[Corpus], *names: str) -> dict[str, Prepared]:
    """What the gates make of the corpora, without tokens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contamination, "benchmarks", EXAM)
        screen = Screen(EXAM)
    return {name: prepare(Preparation(registry[name], None, screen, None, keep=True)) for name in names}


def load(seed: int = 1, fraction: float = 0.1, **passes: float) -> Mixture:
    lesson = Lesson(mixture=passes, validation_fraction=fraction, seed=seed)
    return mixture.load(lesson, prepared(CORPORA, *passes))


def examples(rows: object) -> list[Example]:
    return [Example.from_json(line) for line in rows["example"]]  # type: ignore[index]


def ids(rows: object) -> list[str]:
    return [one.id for one in examples(rows)]


@pytest.mark.parametrize(("passes", "times"), [(1, {1}), (2, {2}), (0.5, {0, 1}), (2.5, {2, 3})])
def test_a_corpus_is_passed_over_as_often_as_asked(passes: float, times: set[int]) -> None:
    mixed = load(notes=passes)
    learnt = {one.id for one in NOTES} - {*ids(mixed.validation), "n7"}
    seen = Counter(ids(mixed.train))
    assert {seen[id] for id in learnt} == times
    assert len(mixed.train) == round(passes * len(learnt)) == mixed.kept["notes"].taken
    assert set(seen) <= learnt


def test_everything_read_is_trained_on_or_held_out_or_reported() -> None:
    mixed = load(notes=1, laws=1)
    assert {name: kept.read for name, kept in mixed.kept.items()} == {"laws": 20, "notes": 40}
    assert {name: kept.contaminated for name, kept in mixed.kept.items()} == {"laws": 0, "notes": 1}
    assert sorted([*ids(mixed.train), *ids(mixed.validation), "n7"]) == sorted(one.id for one in NOTES + LAWS)


def test_the_same_seed_gives_the_same_order_and_another_seed_another() -> None:
    first, second = load(seed=1, notes=0.5, laws=1), load(seed=1, laws=1, notes=0.5)
    assert (ids(first.train), ids(first.validation)) == (ids(second.train), ids(second.validation))
    whole = ids(load(seed=1, notes=1).train)
    assert whole != ids(load(seed=2, notes=1).train)
    assert whole != sorted(whole, key=[one.id for one in NOTES].index)


def test_the_order_does_not_depend_on_the_process() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\nfrom test_mixture import *\n"
        "mixed = load(notes=1, laws=0.5)\nprint(ids(mixed.train), ids(mixed.validation))"
    )
    here = os.path.dirname(__file__)
    said = {
        subprocess.run(
            [sys.executable, "-c", script, here],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
            timeout=120,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1 and b"l1" in said.pop()


@given(
    families=st.lists(st.integers(0, 20), min_size=2, max_size=60).filter(lambda drawn: len(set(drawn)) > 1),
    fraction=st.floats(0.001, 0.999),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, derandomize=True, max_examples=25)
def test_some_families_are_held_out_and_some_are_not(families: list[int], fraction: float, seed: int) -> None:
    drawn = corpora(drawn=[example(f"text {n}", str(n), str(family)) for n, family in enumerate(families)])
    lesson = Lesson(mixture={"drawn": 1.0}, validation_fraction=fraction, seed=seed)
    mixed = mixture.load(lesson, prepared(drawn, "drawn"))
    held_out = {one.family for one in examples(mixed.validation)}
    assert held_out.isdisjoint(one.family for one in examples(mixed.train))
    assert len(mixed.train) + len(mixed.validation) == len(families)
    assert len(held_out) in {1, len(set(families)) - 1} or abs(len(held_out) - fraction * len(set(families))) <= 0.5


@pytest.mark.parametrize("seed", range(3))
def test_no_family_stands_on_both_sides_even_of_two_corpora(seed: int) -> None:
    mixed = load(seed=seed, fraction=0.3, notes=1, kin=2, laws=0.5)
    torn = {one.family for one in examples(mixed.train)} & {one.family for one in examples(mixed.validation)}
    assert len(mixed.validation) and not torn


def test_the_first_rows_can_be_held_out_instead_of_a_fraction() -> None:
    lesson = Lesson(mixture={"laws": 1.0, "kin": 1.0}, validation_rows=3)
    mixed = mixture.load(lesson, prepared(CORPORA, "laws", "kin"))
    assert set(ids(mixed.validation)) == {"l0", "l1", "l2", "r0", "r1", "r2", "r3"}  # r3 is of the family of r2


def test_repetitions_are_dropped_and_counted_unless_the_recipe_says_otherwise() -> None:
    held = prepared(CORPORA, "twice")
    dropped, reported = (
        mixture.load(Lesson(mixture={"twice": 1.0}, duplicates=policy), held) for policy in ("exact", "report")
    )
    assert dropped.kept["twice"].repeated == reported.kept["twice"].repeated == 5
    assert len(dropped.train) + len(dropped.validation) == 20
    assert len(reported.train) + len(reported.validation) == 25


def test_repetitions_are_found_across_corpora() -> None:
    passes = {"hollow": 1.0, "nearly": 1.0}
    mixed = mixture.load(Lesson(mixture=passes), prepared(CORPORA, *passes))
    assert (mixed.kept["hollow"].repeated, mixed.kept["nearly"].repeated) == (0, len(LAWS))


def test_near_copies_are_counted_and_dropped_on_demand() -> None:
    held = prepared(CORPORA, "nearly")
    kept, dropped = (
        mixture.load(Lesson(mixture={"nearly": 1.0}, duplicates=policy, validation_fraction=0.4), held)
        for policy in ("exact", "near")
    )
    assert kept.kept["nearly"].near == dropped.kept["nearly"].near == len(NEARLY) - 1
    assert len(kept.train) + len(kept.validation) == 29
    assert len(dropped.train) + len(dropped.validation) == 21
    assert kept.across > 0 and dropped.across == 0


def test_an_example_without_an_answer_is_dropped_and_counted() -> None:
    mixed = load(hollow=1)
    assert mixed.kept["hollow"].unusable == 1
    assert "hollow" not in ids(mixed.train) + ids(mixed.validation)


def test_a_copy_of_a_test_item_can_be_reported_or_stop_the_run() -> None:
    held = prepared(CORPORA, "notes")
    reported = mixture.load(Lesson(mixture={"notes": 1.0}, contamination="report"), held)
    assert reported.kept["notes"].contaminated == 1 and "n7" in ids(reported.train) + ids(reported.validation)
    with pytest.raises(MedslmError, match=r"1 examples are copies of test items.*notes n7 is exam 0"):
        mixture.load(Lesson(mixture={"notes": 1.0}, contamination="fail"), held)


@pytest.mark.parametrize(
    ("passes", "sentence"),
    [
        ({"stolen": 1}, "nothing is left of corpus 'stolen': 3 read, 3 in a benchmark"),
        ({"lonely": 1}, "the mixture has 1 family of examples; training and validation need one each: add data"),
        ({"small": 0.4}, "0.4 passes over the 1 training examples of corpus 'small' take none; raise its passes"),
        ({"notes": 1e9}, "1e+09 passes over the 35 training examples of corpus 'notes' are more than 1,000,000,000"),
    ],
)
def test_a_mixture_with_nothing_in_it_is_a_sentence(passes: dict[str, float], sentence: str) -> None:
    with pytest.raises(MedslmError) as refusal:
        load(**passes)
    assert str(refusal.value).startswith(sentence)
