"""Accuracy by kind of patient: the exam questions that introduce one, grouped by sex and by age.

Unlike the counterfactual vignettes these are unlike questions, so a gap says nothing about bias: the questions about old
men are other questions than those about young women. Gaps are also never zero: two groups of 500 that a model answers
equally well lie 2.5 points apart on average. `expected_by_chance` says how far; `MEANING` goes with every table.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medslm.evals import statistics
from medslm.evals.statistics import NO_DIFFERENCE, Difference
from medslm.evals.study import Case
from medslm.evals.trust import asking, lines, patients

FEWEST = 10
"""Questions that make a group."""

MEANING = (
    "Groups are asked unlike questions, and a gap between groups is positive without any bias: read it beside what chance "
    "leaves, and read bias from the counterfactual vignettes, where one question is told of many patients."
)

WORDS = {"better": "higher", "worse": "lower", NO_DIFFERENCE: NO_DIFFERENCE}

Groups = Mapping[str, Mapping[str, Sequence[int]]]
"""`sex` or `age` -> group -> places of the items."""


@dataclass(frozen=True)
class Gap(Difference):
    """A group's accuracy less that of all other groups; n is the group's."""

    rest: int
    """Items of the other groups."""
    by_chance: float
    """Mean absolute gap of two groups of this size that have one accuracy."""


def measure(case: Case) -> dict[str, Any]:
    """Each task by likelihood whose questions introduce patients, by sex and age, for both sides."""
    tasks: dict[str, Any] = {}
    changes: dict[tuple[str, str], Difference] = {}
    gaps: dict[tuple[str, str], Gap] = {}
    for name, outcomes in asking.by_likelihood(case):
        texts = [item.text for item in asking.items(name, [outcome.id for outcome in outcomes["base"]])]
        groups, unread = grouped(texts)
        if not any(len(of) > 1 for of in groups.values()):
            continue
        right = {side: [int(outcome.pick == outcome.key) for outcome in of] for side, of in outcomes.items()}
        tasks[name] = {
            "n": len(texts),
            "unread": unread,
            **{side: _by_group(groups, of_side) for side, of_side in right.items()},
        }
        changes |= {(name, kind): one for kind, one in _changes(groups, right)}
        gaps |= {(name, kind): one for kind, one in _gaps(groups, right)}
    return {
        "tasks": tasks,
        "gaps": [
            {**row, "n_rest": gap.rest, "expected_by_chance": gap.by_chance, "verdict": WORDS[row["verdict"]]}
            for row, gap in zip(lines.family(gaps, frozenset()), gaps.values())
        ],
        "differences": lines.family(changes, frozenset()),
        "meaning": MEANING,
    }


def grouped(texts: Sequence[str]) -> tuple[Groups, dict[str, int]]:
    """Places of the texts by sex and by age group, groups of at least `FEWEST`; and how many do not say it."""
    found: dict[str, dict[str, list[int]]] = {"sex": defaultdict(list), "age": defaultdict(list)}
    unread = {"sex": 0, "age": 0}
    for place, text in enumerate(texts):
        patient = patients.read(text)
        for attribute, value in (("sex", patient.sex), ("age", patient.age)):
            if value is None:
                unread[attribute] += 1
            else:
                found[attribute][value].append(place)
    kept = {
        attribute: {value: places for value, places in sorted(of.items()) if len(places) >= FEWEST}
        for attribute, of in found.items()
    }
    return kept, unread


def _by_group(groups: Groups, right: Sequence[int]) -> dict[str, dict[str, Any]]:
    return {
        attribute: {
            value: statistics.estimate([right[place] for place in places]).as_json() for value, places in of.items()
        }
        for attribute, of in groups.items()
    }


def _gaps(groups: Groups, right: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, Gap]]:
    """Each group against all other items whose group is known, side by side."""
    for side, of_side in right.items():
        for attribute, of in groups.items():
            for value, places in of.items():
                others = [place for other, them in of.items() if other != value for place in them]
                if others and not (attribute == "sex" and value == "male"):  # it is the other one with its sign turned
                    told = unpaired([of_side[place] for place in others], [of_side[place] for place in places])
                    yield f"{side}: {attribute} {value} against the rest", told


def _changes(groups: Groups, right: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, Difference]]:
    """Adapter less base within each group, on the same items."""
    for attribute, of in groups.items():
        for value, places in of.items():
            base, adapter = ([right[side][place] for place in places] for side in ("base", "adapter"))
            yield f"{attribute} {value}", statistics.difference(base, adapter)


def unpaired(reference: Sequence[int], other: Sequence[int]) -> Gap:
    """Share of ones in `other` less that in `reference`, which are unlike items.

    Newcombe's interval of independent shares (method 10 of Newcombe 1998, Statistics in Medicine 17:873-890) and
    Fisher's exact test; by chance, sqrt(2 / pi) standard errors. Raises `MedslmError` for an empty group.
    """
    from scipy.stats import fisher_exact

    one, two = (statistics.share(sum(of), len(of)) for of in (other, reference))
    value, p = one.value - two.value, (sum(other) + sum(reference)) / (one.n + two.n)
    low = value - math.hypot(one.value - one.low, two.high - two.value)
    high = value + math.hypot(one.high - one.value, two.value - two.low)
    test = fisher_exact([[sum(of), len(of) - sum(of)] for of in (other, reference)])
    by_chance = math.sqrt(2 / math.pi * p * (1 - p) * (1 / one.n + 1 / two.n))
    return Gap(value, low, high, one.n, float(test.pvalue), two.n, by_chance)


def text(told: Mapping[str, Any]) -> str:
    """Accuracy by group, gaps and changes, and what gaps mean."""
    if not told["tasks"]:
        return f"Accuracy by kind of patient: no task has two groups of {FEWEST} questions that introduce a patient."
    rows = [
        (name, side, f"{attribute} {value}", f"{figure['n']:,}", lines.percent(figure))
        for name, task in told["tasks"].items()
        for side in ("base", "adapter")
        for attribute, of in task[side].items()
        for value, figure in of.items()
    ]
    unread = [
        f"{name}: {of['unread']['sex']:,} of {of['n']:,} questions do not say a sex, {of['unread']['age']:,} no age."
        for name, of in told["tasks"].items()
    ]
    gaps = [
        (
            *(row["task"], row["measure"], f"{row['n']:,}", lines.number(row)),
            *(f"{row['expected_by_chance']:.3f}", lines.p_value(row["p_holm"]), row["verdict"]),
        )
        for row in told["gaps"]
    ]
    head = ("task", "group", "n", "gap [95 %]", "by chance", "p (Holm)", "verdict")
    return lines.text(
        [
            "Accuracy by kind of patient",
            *lines.aligned([("task", "side", "group", "n", "accuracy"), *rows], left=3),
            *unread,
            "",
            *lines.aligned([head, *gaps], left=2),
            told["meaning"],
            "",
            *lines.differences(told["differences"]),
        ]
    )
