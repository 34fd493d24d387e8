"""`medslm compare RUN RUN...`: judged runs item by item, told in words, and only where they were judged alike."""

from __future__ import annotations

import hashlib
import json
import re
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medslm.errors import MedslmError
from medslm.evals import compared, scores, statistics
from medslm.evals.compared import Contrast, Row, Table
from medslm.evals.contestants import ASKED, ITEMS, Contestant, Figure, Key
from medslm.evals.respondent import HERE
from medslm.evals.results import SIDES
from medslm.evals.statistics import Difference
from medslm.infer import engines as known
from medslm.infer import records

FIELDS = {
    "task version": "task_version",
    "dataset": "dataset",
    "template": "template_hash",
    "format": "format",
    "limit": "limit",
    "lm-eval": "lm_eval",
    "engine": "engine",
    "dtype": "dtype",
}
"""What two figures must share beside the items and their prompts -> its name in a result, in the scores or in their
`hardware`. Neither device nor quantisation is among them: the first is the dtype's affair, the second the run's own."""

NAMED_APART = ("engine", "dtype")
"""What may differ where each run is named with its engine."""


def compare(
    runs: Sequence[Path], out: Path | None = None, suite: str | None = None, engines: Sequence[str] = ()
) -> str:
    """The adapters of judged runs against that of the first, or one run's adapter against its base, as a text.

    `suite` is the one by which they were judged, by default that of each recipe. A base that was judged alone may be among
    them. `engines`: for each run which engine answered; an empty name is `transformers`. Where one is named, all are, and
    their figures stand side by side. Draws the differences into `out` (PNG) if given. p-values are adjusted over all tests
    of the call (Holm). Raises `MedslmError` for no run, a run twice, one that is not judged, and answers that are not those
    of the scores.
    """
    contestants = _contestants(runs, suite, engines or [""] * len(runs))
    keys = _keys(contestants)
    rows: dict[tuple[str, ...], list[Row]] = {}
    apart: dict[tuple[str, str, str], list[str]] = {}  # (one, other, why) -> tasks
    notes: list[str] = []
    for key in keys:
        groups = _groups(_figures(key, contestants, notes))
        for group in (part for whole in groups for part in _paired(key, whole, notes)):
            rows.setdefault(tuple(figure.of.label for figure in group), []).append(_row(key, group))
        for group in groups[1:]:
            tasks = apart.setdefault((groups[0][0].of.label, group[0].of.label, _why(groups[0][0], group[0])), [])
            tasks += [] if key[1] in tasks else [key[1]]
    tables = compared.adjusted([Table(labels, of) for labels, of in rows.items()])
    notes = [
        f"{other} is kept apart from {one} in {', '.join(t)}: {why}." for (one, other, why), t in apart.items()
    ] + [*dict.fromkeys(notes)]
    drawn = [] if out is None else [compared.plot(tables, out)]
    return compared.text(tables, _repeated(contestants), [*_warnings(contestants), *notes, *drawn])


def _keys(contestants: Sequence[Contestant]) -> list[Key]:
    """What is told: all that runs have, and what only a base alone has."""
    ordered = sorted(contestants, key=lambda contestant: contestant.alone)  # a stable sort
    keys: dict[Key, None] = {}
    for contestant in ordered:
        asked = {key[1:] for key in keys}
        keys |= dict.fromkeys(key for key in contestant.results if not (contestant.alone and key[1:] in asked))
    return list(keys)


def _contestants(runs: Sequence[Path], suite: str | None, engines: Sequence[str]) -> list[Contestant]:
    asked = [(run.resolve(), engine or HERE) for run, engine in zip(runs, engines)]
    if not runs or len(set(asked)) != len(asked):
        raise MedslmError(
            f"{len(runs)} runs were to be compared, some of them twice or none at all; name each run once"
        )
    for _, engine in asked:
        known.engines[engine]
    names = [run.name for run, _ in asked]
    labels = names if len(set(names)) == len({run for run, _ in asked}) else [str(run) for run in runs]
    found = [scores.find(run, suite, engine=engine) for run, (_, engine) in zip(runs, asked)]
    if empty := [label for label, of in zip(labels, found) if not of["results"]]:
        raise MedslmError(f"the scores of {empty[0]} have no figures: too few items had one; evaluate more items")
    if named := any(engines):
        labels = [f"{label}@{engine}" for label, (_, engine) in zip(labels, asked)]
    homes = [scores.home(run, engine) for run, (_, engine) in zip(runs, asked)]
    if len(runs) == 1:
        sides = [side for side in SIDES if side in found[0]["results"][0]]
        labels = [f"{side}@{engines[0]}" if named else side for side in sides]
        return [Contestant(label, runs[0], homes[0], found[0], side, named) for label, side in zip(labels, sides)]
    sides = [SIDES[-1] if of["adapter_sha256"] else SIDES[0] for of in found]
    return [Contestant(*of, named) for of in zip(labels, runs, homes, found, sides)]


def _figures(key: Key, contestants: Iterable[Contestant], notes: list[str]) -> list[Figure]:
    """The figures of all who have one; `notes` says who has none."""
    protocol, task, metric = key
    figures = []
    for contestant in contestants:
        if contestant.at(key) is None:
            notes.append(f"{contestant.label} has no {metric} of {task} ({protocol}).")
        elif (figure := _figure(key, contestant)) is None:
            notes.append(f"{metric} of {task} is no mean over items, so that it is not compared item by item.")
        else:
            figures.append(figure)
    return figures


def _figure(key: Key, contestant: Contestant) -> Figure | None:
    """The kept answers of a contestant; none for a metric that items do not have. Raises `MedslmError` as `compare`."""
    _, task, metric = key
    result = contestant.at(key)
    assert result is not None  # `_figures` has looked
    path = scores.answers(contestant.folder, contestant.scores, result["protocol"], contestant.side, task)
    found = contestant.answers(path)
    values = {name: float(of["measures"][metric]) for name, of in found.items() if metric in of["measures"]}
    if not values:
        return None
    mean, told, n = sum(values.values()) / len(values), result[contestant.side]["value"], result[contestant.side]["n"]
    if len(values) != n or abs(mean - told) > 1e-6 * max(1.0, abs(told)):
        raise MedslmError(
            f"{path} holds {len(values)} answers with {metric} {mean:.4f}, but the scores say {told:.4f} of {n}; "
            "they are of two evaluations: evaluate the run again"
        )
    known: Mapping[str, Any] = ChainMap(dict(result), dict(contestant.scores), dict(contestant.scores["hardware"]))
    fields = {title: name for title, name in FIELDS.items() if not (contestant.named and title in NAMED_APART)}
    says = {title: json.dumps(known.get(name), sort_keys=True) for title, name in fields.items()}
    keys = sorted((name, json.dumps(sample["key"], sort_keys=True)) for name, sample in found.items())
    asked = [(*key, found[key[0]]["prompt"]) for key in keys]
    return Figure(contestant, values, {**says, ITEMS: _digest(keys), ASKED: _digest(asked)})


def _digest(of: Sequence[Any]) -> str:
    return json.dumps(hashlib.sha256(json.dumps(of).encode()).hexdigest())


def _groups(figures: Sequence[Figure]) -> list[list[Figure]]:
    """Figures that may be compared together, in the order in which they came."""
    groups: list[list[Figure]] = []
    for figure in figures:
        for group in groups:
            if not any(one.apart(figure) for one in group):
                group.append(figure)
                break
        else:
            groups.append([figure])
    return groups


def _paired(key: Key, group: Sequence[Figure], notes: list[str]) -> list[list[Figure]]:
    """The figures that have enough items in common with the first for a difference, then each of the others alone.

    Items may lack a value (a reply without a dose has no wrong one); `notes` says where that leaves too few.
    """
    _, task, metric = key
    first, *others = group
    together, alone = [first], []
    for other in others:
        both = [
            value for name in first.values if name in other.values for value in (first.values[name], other.values[name])
        ]
        if len(both) // 2 >= (1 if {*both} <= {0, 1} else 2):
            together.append(other)
        else:
            alone.append([other])
            notes.append(
                f"{metric} of {task}: {len(both) // 2} items have a value of both {first.of.label} and {other.of.label}, "
                "too few for a difference."
            )
    return [together, *alone]


def _why(one: Figure, other: Figure) -> str:
    """The fields that differ: `limit 100 against none`; other prompts only if no field explains them."""
    differ = one.apart(other)
    if len(differ) > 1:
        differ = [title for title in differ if title != ASKED]
    return "; ".join(
        f"{title} {_short(one.protocol[title])} against {_short(other.protocol[title])}" for title in differ
    )


def _short(said: str) -> str:
    value = json.loads(said)
    if value is None:
        return "none"
    if isinstance(value, dict):
        value = ", ".join(str(part) for part in value.values())
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b", r"\1", str(value))  # commits and digests


def _row(key: Key, group: Sequence[Figure]) -> Row:
    protocol, task, metric = key
    first = group[0]
    result = first.of.at(key)
    assert result is not None  # or it had no figure
    contrasts = [Contrast(_less(first, figure), not result["higher_is_better"]) for figure in group[1:]]
    estimates = [figure.estimate for figure in group]
    return Row(protocol, task, metric, result["unit"], bool(result["primary"]), estimates, contrasts)


def _less(first: Figure, other: Figure) -> Difference:
    """Over the items for which both have a value."""
    both = [name for name in first.values if name in other.values]
    return statistics.difference([first.values[name] for name in both], [other.values[name] for name in both])


def _warnings(contestants: Sequence[Contestant]) -> Iterator[str]:
    """What a reader must know of the runs themselves."""
    for one in contestants:
        if (limit := one.scores["limit"]) is not None:
            yield f"{one.label} was judged on {limit} items a task at most: a trial, no result."
    if len({one.engine for one in contestants if one.named}) > 1:
        yield "Runs were answered by several engines, so that a difference is one of weights and of engine together."
    if len({str(one.scores.get("base")) for one in contestants}) > 1:
        yield "Runs of several bases read the same items, each in its own template: a difference is one of both."


def _repeated(contestants: Sequence[Contestant]) -> list[str]:
    """Primary metrics over runs whose recipes differ in name and seed only, where they were judged alike."""
    alike: dict[str, list[Contestant]] = {}
    for contestant in contestants:
        if contestant.side == SIDES[-1] and (path := contestant.run / "run.json").is_file():
            recipe = records.read(path, "accelerate launch recipes/<name>.py", ("recipe",))["recipe"]
            rest = {name: value for name, value in recipe.items() if name not in {"name", "seed"}}
            alike.setdefault(json.dumps([rest, contestant.engine], sort_keys=True), []).append(contestant)
    lines = []
    for members in (members for members in alike.values() if len(members) > 1):
        for key in (key for key, result in members[0].results.items() if result["primary"]):
            for group in _groups(_figures(key, [member for member in members if key in member.results], [])):
                if len(group) > 1:
                    values = [(figure.of.label, figure.estimate.value) for figure in group]
                    lines.append(compared.repeats(key, values, members[0].results[key]["unit"]))
    return lines
