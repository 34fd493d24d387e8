"""What verdicts amount to: points of both sides and their paired difference, preference, agreement, and the cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from medslm.evals import statistics
from medslm.evals.judge import agreement as agreements
from medslm.evals.judge import verdicts
from medslm.evals.judge.abilities import Abilities
from medslm.evals.judge.agreement import SIDES, Pair
from medslm.evals.judge.answer import Answer
from medslm.evals.judge.asking import Judge
from medslm.evals.judge.endpoint import Price
from medslm.evals.judge.prompts import Prompt
from medslm.evals.judge.verdicts import Reading

Asked = Sequence[Reading]
"""Verdicts in the order of the items."""

Answered = Sequence[tuple[Prompt, Answer | None]]


def points(answered: Answered, criteria: Sequence[str]) -> list[Reading]:
    """The points in each answer."""
    return [
        Reading(failure=verdicts.REFUSED)
        if answer is None
        else verdicts.points(answer.text, answer.finish, criteria, prompt.judged)
        for prompt, answer in answered
    ]


def winners(answered: Answered) -> list[Reading]:
    """The winner in each answer."""
    return [
        Reading(failure=verdicts.REFUSED)
        if answer is None
        else verdicts.winner(answer.text, answer.finish, prompt.judged)
        for prompt, answer in answered
    ]


def criteria(found: Mapping[str, Asked], names: Sequence[str]) -> dict[str, Any]:
    """Criterion -> mean points of each side and the paired difference, over the items for which both could be read.

    None for fewer than two such items.
    """
    both = [
        (old.points, new.points)
        for old, new in zip(found["base"], found["adapter"])
        if old.points is not None and new.points is not None
    ]
    return {name: _criterion([old[name] for old, _ in both], [new[name] for _, new in both]) for name in names}


def _criterion(base: Sequence[int], adapter: Sequence[int]) -> dict[str, Any] | None:
    if len(base) < 2:
        return None
    import numpy

    # one more point each, which no difference shows: a row of ones would be taken for shares
    difference = statistics.difference([points + 1 for points in base], [points + 1 for points in adapter])
    return {
        "base": statistics.bootstrap(numpy.mean, base).as_json(),
        "adapter": statistics.bootstrap(numpy.mean, adapter).as_json(),
        "difference": difference.as_json(),
    }


def preference(orders: Sequence[Asked], lengths: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Who won, over the items with a winner in both orders; `lengths`: characters of the base's and adapter's reply."""
    pairs = [
        Pair(one.winner, other.winner, *length)
        for one, other, length in zip(*orders, lengths)
        if one.winner is not None and other.winner is not None
    ]
    return {**agreements.preference(pairs), "of": len(lengths)}


def unreadable(found: Mapping[str, Asked]) -> dict[str, Any]:
    """Name -> the share of verdicts that could not be read, and how many for which reason."""
    told = {}
    for name, readings in found.items():
        reasons = Counter(reading.failure for reading in readings if reading.failure)
        share = statistics.share(sum(reasons.values()), len(readings)).as_json() if readings else None
        told[name] = {"share": share, "reasons": dict(reasons.most_common())}
    return told


def agreement(one: Mapping[str, Asked], other: Mapping[str, Asked], names: Sequence[str]) -> dict[str, Any]:
    """Criterion -> the quadratic kappa of two judgements of the same replies; drawn by item, with both its replies."""
    rows = [
        [reading.points for reading in of_item if reading.points is not None]
        for of_item in zip(*(one[side] for side in SIDES), *(other[side] for side in SIDES))
    ]
    whole = [row for row in rows if len(row) == 2 * len(SIDES)]
    return {
        name: agreements.kappa(
            [[points[name] for points in row[: len(SIDES)]] for row in whole],
            [[points[name] for points in row[len(SIDES) :]] for row in whole],
        )
        for name in names
    }


def adjust(tasks: Mapping[str, dict[str, Any]]) -> None:
    """Give every difference and every preference its p after Holm over all of them, and its verdict in words."""
    points = [of["difference"] for task in tasks.values() for of in task["criteria"].values() if of is not None]
    family = points + [task["preference"] for task in tasks.values() if task["preference"]["win_rate"]]
    for figure, p in zip(family, statistics.holm([figure["p"] for figure in family])):
        figure["p_holm"] = p
        figure["verdict"] = _verdict(figure, p)


def _verdict(figure: Mapping[str, Any], p: float) -> str:
    if "win_rate" in figure:
        middle, (value, (low, high)) = 0.5, (figure["win_rate"]["value"], figure["win_rate"]["ci95"])
    else:
        middle, (value, (low, high)) = 0.0, (figure["value"], figure["ci95"])
    if p >= statistics.ALPHA or low <= middle <= high:
        return statistics.NO_DIFFERENCE
    return "better" if value > middle else "worse"


def of_judge(judge: Judge, answers: Iterable[Answer | None], price: Price | None) -> dict[str, Any]:
    """Who judged, under which settings, and what the answers cost; `requests` were sent this time, some kept before."""
    given = list({id(answer): answer for answer in answers if answer is not None}.values())
    counted = [answer for answer in given if answer.tokens_in is not None]
    tokens_in, tokens_out = (sum(getattr(a, name) or 0 for a in counted) for name in ("tokens_in", "tokens_out"))
    known, endpoint = judge.abilities or Abilities(), judge.endpoint
    return {
        "model": endpoint.model,
        "where": "this machine" if endpoint.local else urlsplit(endpoint.url).hostname,
        "served": dict(Counter(answer.model for answer in given).most_common()),
        "fingerprints": dict(Counter(answer.fingerprint or "none" for answer in given).most_common()),
        "temperature": 0 if known.temperature else "not accepted",
        "seed": 0 if known.seed else "not accepted",
        "output": known.output,
        "answers": len(given),
        "requests": judge.asked,
        "refusal": judge.refusal,
        "tokens": {"in": tokens_in, "out": tokens_out, "uncounted": len(given) - len(counted)},
        "cost": None if price is None else price.of(tokens_in, tokens_out),
        "seconds": round(sum(answer.seconds for answer in given), 1),
    }
