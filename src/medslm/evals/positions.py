"""Whether an exam was learnt, or where its right answers stand: the exam beside the same with shuffled options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from medslm import figures
from medslm.evals.statistics import recorded_verdict

SHUFFLED = "_shuffled"
"""Ends the name of the task that asks an exam with shuffled options (`medslm.data.suites.exams`)."""


def told(results: Iterable[Mapping[str, Any]], picks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each exam on which the adapter is better with the options in their own order, and only there.

    An adapter can learn that the right answer is often A, which is worth nothing once options are shuffled. `results`
    and `picks` (protocol -> task) as in `scores.json`.
    """
    primary = {(of["protocol"], of["task"]): of for of in results if of["primary"] and "difference" in of}
    return [
        _sentence(found, shuffled, picks.get(protocol, {}).get(task))
        for (protocol, task), found in primary.items()
        if (shuffled := primary.get((protocol, task + SHUFFLED))) is not None
        and recorded_verdict(found["difference"]) == "better"
        and recorded_verdict(shuffled["difference"]) != "better"
    ]


def _sentence(found: Mapping[str, Any], shuffled: Mapping[str, Any], picks: Mapping[str, Any] | None) -> str:
    gains = ((of["difference"], of["unit"]) for of in (found, shuffled))
    one, other = (figures.change(gain["value"], gain["ci95"], unit) for gain, unit in gains)
    said = (
        f"the gain on {found['task']} ({found['protocol']}) is {one} points with the options in their own order and "
        f"{other} with shuffled ones: what was learnt may be where right answers stand"
    )
    return f"{said}, for {_favourite(picks)}" if picks else said


def _favourite(picks: Mapping[str, Mapping[str, int]]) -> str:
    """The letter that the adapter names most, and how often it is right."""
    named, keys = picks["adapter"], picks["key"]
    letter = max(named, key=lambda one: named[one])
    named_in, right_in = (figures.percent(of.get(letter, 0) / sum(of.values())) for of in (named, keys))
    return f"the adapter names {letter} in {named_in} of the questions, and it is the key of {right_in}"
