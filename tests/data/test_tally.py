"""Counts of parts make the count of the whole, however the parts were put together."""

from __future__ import annotations

import copy
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medslm.data.tally import KINDS, PAIRS, Tally

NAMES = st.sampled_from(["one", "two", "three"])
COUNTERS = st.dictionaries(NAMES, st.integers(1, 9)).map(Counter)
NUMBERED = st.lists(st.integers(0, 2 * KINDS), max_size=KINDS, unique=True)
FEW_OR_NONE = st.none() | NUMBERED
TALLIES = st.builds(
    Tally,
    rows=st.integers(0, 9),
    examples=st.integers(0, 9),
    skipped=COUNTERS,
    findings=COUNTERS,
    languages=COUNTERS,
    identifiers=COUNTERS,
    identified=st.integers(0, 9),
    contaminated=COUNTERS,
    pairs=st.lists(st.integers(0, 9).map(lambda id: {"example": str(id)}), max_size=5).map(lambda few: few * 30),
    instructions=FEW_OR_NONE.map(lambda some: None if some is None else {f"task {n}": ["code"] for n in some}),
    answers=FEW_OR_NONE.map(lambda some: None if some is None else Counter(f"answer {n}" for n in some)),
)


def total(*tallies: Tally) -> Tally:
    """Their sum, which leaves them as they are."""
    whole = Tally()
    for one in tallies:
        whole.add(copy.deepcopy(one))
    return whole


@given(TALLIES, TALLIES, TALLIES)
@settings(deadline=None, derandomize=True)
def test_the_order_of_putting_together_does_not_matter(one: Tally, two: Tally, three: Tally) -> None:
    assert total(total(one, two), three) == total(one, total(two, three)) == total(one, two, three)


@given(TALLIES)
@settings(deadline=None, derandomize=True)
def test_a_tally_comes_back_from_json_as_it_was(tally: Tally) -> None:
    back = Tally.from_dict(json.loads(json.dumps(tally.as_dict())))
    assert back == tally
    back.add(Tally(skipped=Counter(one=1)))  # counters count again
    assert back.skipped["one"] == tally.skipped["one"] + 1


@given(TALLIES, TALLIES)
@settings(deadline=None, derandomize=True)
def test_adding_counts_everything_once_and_changes_only_the_sum(one: Tally, two: Tally) -> None:
    before = copy.deepcopy(two)
    whole = copy.deepcopy(one)
    whole.add(two)
    assert two == before
    assert (whole.rows, whole.examples) == (one.rows + two.rows, one.examples + two.examples)
    for name in ("skipped", "findings", "languages", "identifiers", "contaminated"):
        assert getattr(whole, name).total() == getattr(one, name).total() + getattr(two, name).total()


def test_pairs_are_shown_up_to_a_limit_and_the_first_ones_stay() -> None:
    pairs: list[dict[str, Any]] = [{"example": str(number)} for number in range(PAIRS)]
    whole = total(*(Tally(pairs=[pair], contaminated=Counter(exam=1)) for pair in [*pairs, {"example": "late"}]))
    assert whole.pairs == pairs
    assert whole.contaminated == {"exam": PAIRS + 1}


@pytest.mark.parametrize("number", [KINDS, KINDS + 1])
def test_more_kinds_than_the_limit_are_not_told_apart(number: int) -> None:
    kinds = [Tally(instructions={f"{n}": []}, answers=Counter([f"{n}"])) for n in range(number)]
    whole = total(*kinds, *kinds)
    if number > KINDS:
        assert whole.instructions is None and whole.answers is None
    else:
        assert len(whole.instructions or ()) == KINDS and (whole.answers or Counter()).total() == 2 * KINDS


def test_what_one_part_could_not_tell_apart_the_whole_cannot_either() -> None:
    few, many = Tally(instructions={"a": []}, answers=Counter("a")), Tally(instructions=None, answers=None)
    for whole in (total(few, many), total(many, few)):
        assert whole.instructions is None and whole.answers is None
