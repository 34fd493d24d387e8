"""Files of scores as the tables of a model card: every figure with what it must be seen beside."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from medslm import figures as numbers
from medslm.hub.markdown import Markdown, code, escaped
from medslm.hub.results import Record

HEAD = ("Task", "Measure", "Weights", "Items", "Untuned base", "This adapter", "Difference", "p")
BESIDE = ("Most frequent answer", "Guessing", "Changed by shuffling", "Unreadable")
SUBJECTS = ("Task", "Weights", "Subject", *HEAD[3:])
FLUSH_LEFT = frozenset({*HEAD[:3], "Subject"})
WARNINGS = ("changed", "unparseable")  # in the order of the last two of `BESIDE`


def figures(scores: Record, word: str = "adapter") -> Markdown:
    """Every result of the `word` (adapter, model), beside what needs no reading and what could not be read at all."""
    rows = [
        (*_names(result), *_figures(result, result["unit"]), *_beside(result, scores)) for result in scores["results"]
    ]
    return _table((*_head(HEAD, word), *BESIDE), rows)


def subjects(scores: Record, word: str = "adapter") -> Markdown:
    """The results by subject; nothing where no task has subjects."""
    rows = [
        (code(of["task"]), code(of["protocol"]), escaped(group["subject"]), *_figures(group, of["unit"]))
        for of in scores["subjects"]
        for group in of["groups"]
    ]
    return _table(_head(SUBJECTS, word), rows) if rows else Markdown("")


def _head(titles: Sequence[str], word: str) -> tuple[str, ...]:
    return tuple(title.replace("adapter", word) for title in titles)


def studies(scores: Record) -> Markdown:
    """What the studies found, in their own words, which no text in them can leave."""
    parts = []
    for study, protocols in scores["told"].items():
        for protocol, text in protocols.items():
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            parts.append(f"{code(study)}, {code(protocol)}:\n\n{fence}text\n{text}\n{fence}")
    return Markdown("\n\n".join(parts))


def caveats(scores: Record) -> list[str]:
    """What was not measured, and why."""
    return [*(f"{name} was not judged: {why}" for name, why in scores["missing"].items()), *scores["notes"]]


def _names(result: Record) -> tuple[str, ...]:
    return code(result["task"]), escaped(result["metric"].replace("_", " ")), escaped(result["protocol"])


def _figures(found: Record, unit: str) -> tuple[str, ...]:
    """Items, base, adapter, difference and p, as a table or a group has them."""
    difference = found["difference"]
    change, low, high = (numbers.changed(value, unit) for value in (difference["value"], *difference["ci95"]))
    p = numbers.p_value(difference.get("p_holm", difference["p"])).removeprefix("= ")
    sides = [f"{numbers.told(found[side]['value'], unit)} ({_interval(found[side]['ci95'], unit)})" for side in SIDES]
    return f"{found['n']:,}", *sides, f"{change} ({low} to {high})", p + ("*" if "p_holm" in difference else "")


SIDES = ("base", "adapter")


def _interval(bounds: Sequence[float], unit: str) -> str:
    low, high = (numbers.told(bound, unit) for bound in bounds)
    return f"{low.removesuffix(' %')} to {high}"


def _beside(result: Record, scores: Record) -> tuple[str, ...]:
    floors = (result["majority_class"], result["chance"])
    found = [scores[name][result["protocol"]].get(result["task"]) for name in WARNINGS]
    warnings = ("" if of is None or result["metric"] in WARNINGS else _pair(of) for of in found)
    return (*("" if floor is None else numbers.percent(floor) for floor in floors), *warnings)


def _pair(found: Record) -> str:
    return ", ".join(numbers.percent(found[side]) for side in SIDES)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Markdown:
    """Without the columns in which no row says anything."""
    columns = [column for column in zip(head, *rows) if any(column[1:])]
    title, *lines = zip(*columns)
    rule = ["---" if name in FLUSH_LEFT else "--:" for name in title]
    return Markdown("\n".join("| " + " | ".join(row) + " |" for row in (title, rule, *lines)))
