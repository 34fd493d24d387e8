"""The study `judge` as lines for a terminal: first who judged and at what cost, then the figures, then what to doubt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from medslm.evals.trust import lines

Told = Mapping[str, Any]
POINTS = ("task", "criterion", "n", "base", "adapter", "adapter - base [95 %]", "p (Holm)", "verdict")
WINS = ("task", "n", "wins", "losses", "ties", "disagree", "win rate [95 %]", "p (Holm)", "verdict")
TRUST = ("task", "position decides [95 %]", "orders agree [95 %]", "kappa of the orders", "longer wins [95 %]")
AGAIN = ("task", "criterion", "judged again: kappa [95 %]", "second judge: kappa [95 %]")
LEGEND = (
    "Points from 1 to 5, more is better, on the items for which both sides' verdicts could be read. A side wins an item if "
    "it wins in both orders; the win rate is the adapter's share of the items that one side won, p the sign test of it. "
    "Position decides: items for which the first, or the second, place won whoever stood there. Kappa: quadratic weights; "
    "n.d.: not defined, since there are too few ratings or all are the same."
)


def text(told: Told) -> str:
    """Who judged, the points, the preference, and how far to trust them."""
    if told["status"] != "measured":
        return str(told["status"])
    tasks = told["tasks"]
    parts = [
        [line for judge in told["judges"] for line in _judge(judge)],
        lines.aligned([POINTS, *_points(tasks)], left=2),
        lines.aligned([WINS, *(_wins(name, of["preference"]) for name, of in tasks.items())]),
        lines.aligned([TRUST, *(_trust(name, of["preference"]) for name, of in tasks.items())]),
        lines.aligned([AGAIN, *_again(tasks)], left=2),
        [note for name, of in tasks.items() for note in _notes(name, of)],
        [LEGEND],
    ]
    return "\n\n".join(lines.text(part) for part in parts if part)


def _judge(told: Told) -> Iterator[str]:
    tokens, cost = told["tokens"], told["cost"]
    price = "no price given" if cost is None else f"{cost:,.2f} at the price given"
    uncounted = f" ({tokens['uncounted']:,} answers without a count)" if tokens["uncounted"] else ""
    yield (
        f"Judge {told['model']} on {told['where']}, served as {_counts(told['served'])}; temperature "
        f"{told['temperature']}, seed {told['seed']}, answers as {told['output']}: {told['answers']:,} answers, "
        f"{told['requests']:,} requests sent this time, {tokens['in']:,} tokens in and {tokens['out']:,} out{uncounted}, "
        f"{price}, {told['seconds']:,.0f} s"
    )
    if len(told["served"]) > 1:
        yield "CAUTION: the endpoint changed its model's name, so that these verdicts are of more than one judge."
    if len(told["fingerprints"]) > 1:
        yield f"The server's configuration changed on the way: {_counts(told['fingerprints'])}"
    if told["refusal"]:
        yield f"The first refusal: {told['refusal']}"


def _points(tasks: Told) -> Iterator[tuple[str, ...]]:
    for name, task in tasks.items():
        for criterion, of in task["criteria"].items():
            if of is None:
                yield name, criterion, "-", "too few verdicts", "", "", "", ""
                continue
            difference = of["difference"]
            yield (
                *(name, criterion, f"{difference['n']:,}", lines.number(of["base"], 2), lines.number(of["adapter"], 2)),
                *(lines.number(difference, 2), f"{difference['p_holm']:.3f}", difference["verdict"]),
            )


def _wins(name: str, of: Told) -> tuple[str, ...]:
    counts = (f"{of[key]:,}" for key in ("n", "wins", "losses", "ties", "disagreements"))
    if of["win_rate"] is None:
        return name, *counts, "-", "-", "no item was won"
    return name, *counts, lines.percent(of["win_rate"]), f"{of['p_holm']:.3f}", of["verdict"]


def _trust(name: str, of: Told) -> tuple[str, ...]:
    position = of["position"]
    shares = (position["bias"], position["agreement"], of["length"]["longer_won"])
    bias, agreed, longer = (lines.percent(share) if share else "-" for share in shares)
    return name, bias, agreed, _kappa(position["kappa"]), longer


def _again(tasks: Told) -> Iterator[tuple[str, ...]]:
    for name, task in tasks.items():
        for criterion, found in task["repeated"].items():
            second = _kappa(task["second"][criterion]) if "second" in task else "no second judge"
            yield name, criterion, _kappa(found), second


def _kappa(found: Told | None) -> str:
    return "n.d." if found is None else lines.number(found, 2)


def _notes(name: str, of: Told) -> Iterator[str]:
    rubric, items = of["rubric"], f"{of['n']:,} of {of['of']:,} items"
    yield f"{name}: rubric {rubric['name']} {rubric['version']} ({rubric['digest'][:12]}), {items}"
    if of["alike"]:
        yield f"{name}: {of['alike']:,} items with the same reply from both sides were not compared; they are ties"
    for what, found in of["unreadable"].items():
        if found["reasons"]:
            yield f"{name}, {what}: {lines.percent(found['share'])} unreadable: {_counts(found['reasons'])}"
    position, length = of["preference"]["position"], of["preference"]["length"]
    if (bias := position["bias"]) and bias["ci95"][0] > 0.5:
        place = "first" if position["first"]["value"] >= position["second"]["value"] else "second"
        yield f"{name}: this judge mostly prefers the {place} place; its preference says little about the replies"
    if (won := length["longer_won"]) and won["ci95"][0] > 0.5:
        yield (
            f"{name}: the longer reply won {lines.percent(won)}, and the adapter's was the longer in "
            f"{lines.percent(length['adapter_longer'])}: quality and length cannot be told apart"
        )


def _counts(found: Told) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in found.items()) or "nothing"
