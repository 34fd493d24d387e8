"""Scores as aligned tables, for a terminal and as Markdown, with the verdict in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medslm import figures
from medslm.evals import statistics

HEAD = (
    *(
        "protocol",
        "task",
        "metric",
        "n",
        "base [95 % interval]",
        "adapter [95 % interval]",
        "difference [95 % interval]",
    ),
    *("p", "verdict", "majority", "chance", "changed", "unparseable"),
)
SUBJECTS = ("protocol", "task", "subject", *HEAD[3:9])
RIGHT = frozenset({*HEAD[3:6], "p", *HEAD[9:]})
"""Columns of numbers, set flush right."""

BESIDE = ("changed", "unparseable")
"""Metrics that warn, and stand beside the others of their task."""

LEGEND = (
    "The asterisk marks the primary metric: its p is adjusted over all primary metrics of the table (Holm), and over the "
    "subjects in a table by subject; other p are single. Differences are paired, adapter less base, of shares in "
    "percentage points; p is McNemar's for shares, of sign flips for other values. Majority: always the same answer; "
    "chance: drawing lots; changed: another option chosen once the options are shuffled (base / adapter); unparseable: "
    "replies that could not be read (base / adapter), which count as wrong."
)


def text(scores: Mapping[str, Any]) -> str:
    """For a terminal, with what the studies found."""
    parts = [_plain(rows) for rows in _tables(scores)] + ["\n".join(notes(scores))]
    for study, protocols in scores["told"].items():
        parts += [f"{study} ({protocol})\n{told}" for protocol, told in protocols.items()]
    return "\n\n".join(parts) + "\n"


def markdown(scores: Mapping[str, Any], primary_only: bool = False) -> str:
    """For a README; aligned in the source too. Primary metrics alone make a table that can be taken in at a glance."""
    shown = [of for of in scores["results"] if of["primary"] or not primary_only]
    tables = _tables({**scores, "results": shown, "subjects": [] if primary_only else scores["subjects"]})
    return "\n\n".join([*(_marked(rows) for rows in tables), "\n".join(notes(scores))]) + "\n"


def _tables(scores: Mapping[str, Any]) -> list[list[tuple[str, ...]]]:
    main = [_row(result, scores) for result in scores["results"]]
    subjects = [
        (of["protocol"], of["task"], group["subject"], *_numbers(group, of["unit"], of["higher_is_better"]))
        for of in scores["subjects"]
        for group in of["groups"]
    ]
    return [_without_blanks([HEAD, *main]), *([_without_blanks([SUBJECTS, *subjects])] if subjects else [])]


def _without_blanks(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The same without columns that say nothing in any row."""
    full = [any(column[1:]) for column in zip(*rows)]
    return [tuple(cell for cell, some in zip(row, full) if some) for row in rows]


def _row(result: Mapping[str, Any], scores: Mapping[str, Any]) -> tuple[str, ...]:
    floors = (result["majority_class"], result["chance"])
    warnings = [scores[name][result["protocol"]].get(result["task"]) for name in BESIDE]
    return (
        result["protocol"],
        result["task"],
        result["metric"] + (" *" if result["primary"] else ""),
        *_numbers(result, result["unit"], result["higher_is_better"]),
        *("" if floor is None else figures.percent(floor) for floor in floors),
        *("" if found is None or result["metric"] in BESIDE else _pair(found) for found in warnings),
    )


def _numbers(found: Mapping[str, Any], unit: str, higher_is_better: bool) -> tuple[str, ...]:
    """n, base, adapter, difference, p and verdict."""
    sides = ["" if side not in found else _figure(found[side], unit) for side in ("base", "adapter")]
    if "difference" not in found:
        return (f"{found['n']:,}", *sides, "", "", "")
    difference = found["difference"]
    p = difference.get("p_holm", difference["p"])
    told = (
        figures.change(difference["value"], difference["ci95"], unit),
        f"p {figures.p_value(p)}",
        statistics.recorded_verdict(difference, not higher_is_better),
    )
    return (f"{found['n']:,}", *sides, *told)


def _figure(found: Mapping[str, Any], unit: str) -> str:
    low, high = (figures.told(bound, unit).removesuffix(" %") for bound in found["ci95"])
    return f"{figures.told(found['value'], unit)} [{low}, {high}]"


def _pair(found: Mapping[str, float]) -> str:
    return " / ".join(f"{100 * share:.1f}" for share in found.values()) + " %"


def _plain(rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(figures.aligned(rows, [place for place, name in enumerate(rows[0]) if name in RIGHT]))


def _marked(rows: Sequence[tuple[str, ...]]) -> str:
    widths = _widths(rows)
    lines = [
        "| " + " | ".join(_set(cell, *place) for cell, place in zip(row, zip(rows[0], widths))) + " |" for row in rows
    ]
    rule = [("-" * (width - 1) + ":") if name in RIGHT else "-" * width for name, width in zip(rows[0], widths)]
    return "\n".join([lines[0], "| " + " | ".join(rule) + " |", *lines[1:]])


def _widths(rows: Sequence[tuple[str, ...]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows)]


def _set(cell: str, name: str, width: int) -> str:
    return cell.rjust(width) if name in RIGHT else cell.ljust(width)


def notes(scores: Mapping[str, Any]) -> list[str]:
    """What must be said of the figures: how they were measured, and what was not."""
    hardware = scores["hardware"]
    trial = (
        []
        if scores["limit"] is None
        else [f"At most {scores['limit']} items a task were judged: a trial, not a result."]
    )
    cut = [
        f"{count:,} replies to {task} ({side}, {protocol}) were ended by their bound, not by the model."
        for protocol, tasks in scores["cut"].items()
        for task, sides in tasks.items()
        for side, count in sides.items()
        if count
    ]
    how = (
        f"Suite {scores['suite']}; lm-eval {scores['lm_eval']}, engine {scores['engine']}, {hardware['dtype']} on "
        f"{hardware['gpu'] or hardware['device']}, batches of {hardware['batch_size']}, template "
        f"{scores['template_hash'][:12]}."
    )
    missing = [f"Not judged: {name}: {why}" for name, why in scores["missing"].items()]
    return [*trial, *missing, *(f"Note: {note}" for note in scores["notes"]), *cut, LEGEND, how]
