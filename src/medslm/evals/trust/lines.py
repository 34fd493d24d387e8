"""Figures of studies as aligned lines for a terminal, and families of paired tests with their verdicts in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medslm import figures
from medslm.evals import statistics
from medslm.evals.statistics import Difference

WIDTH = 120
"""Columns of a terminal, of a report and of a card, beyond which lines are folded and figures cannot be read across."""

Figure = Mapping[str, Any]
"""An `Estimate` as JSON."""


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows of cells, the first their heads, as lines under each other; all but the first `left` columns flush right.

    A table of more than `WIDTH` columns is told as several, one under the other: each repeats the first `left` columns,
    and n where it is the next one.
    """
    head, widths = rows[0], [max(map(len, column)) for column in zip(*rows)]
    keys = left + (head[left : left + 1] == ("n",))
    parts: list[list[int]] = [[]]
    for place in range(keys, len(head)):
        told = [*range(keys), *parts[-1], place]
        if parts[-1] and sum(widths[one] + 2 for one in told) - 2 > WIDTH:
            parts.append([])
        parts[-1].append(place)
    found: list[str] = []
    for part in parts:
        places = [*range(keys), *part]
        table = figures.aligned([[row[place] for place in places] for row in rows], range(left, len(places)))
        found += [*([""] if found else []), *table]
    return found


def text(parts: Iterable[str]) -> str:
    """The lines as one text, sentences of more than `WIDTH` columns folded."""
    return "\n".join(line for part in parts for line in _folded(part))


def _folded(told: str) -> list[str]:
    if max(map(len, told.split("\n"))) <= WIDTH:
        return [told]
    return [
        line
        for one in told.split("\n")
        for line in textwrap.wrap(one, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        or [""]
    ]


def number(figure: Figure | None, digits: int = 3) -> str:
    """`0.123 [0.100, 0.150]`; a dash for what is not defined."""
    if figure is None:
        return "-"
    value = f"{figure['value']:.{digits}f}"
    return value if figure["ci95"] is None else f"{value} [{', '.join(f'{end:.{digits}f}' for end in figure['ci95'])}]"


def p_value(p: float) -> str:
    """`0.042`, and `< 0.001` for what would be nought."""
    return figures.p_value(p).removeprefix("= ")


def percent(figure: Figure | None) -> str:
    """`12.3 % [10.0, 15.0]`; a dash for what is not defined."""
    if figure is None:
        return "-"
    low, high = figure["ci95"]
    return f"{100 * figure['value']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def family(found: Mapping[tuple[str, str], Difference], lower_is_better: frozenset[str]) -> list[dict[str, Any]]:
    """Adapter less base for each (task, measure), with its p after Holm over all of them, and its verdict."""
    adjusted = statistics.holm([one.p for one in found.values()])
    return [
        {
            "task": task,
            "measure": measure,
            **one.as_json(),
            "p_holm": p,
            "verdict": statistics.verdict(one, p, measure in lower_is_better),
        }
        for ((task, measure), one), p in zip(found.items(), adjusted)
    ]


def differences(rows: Sequence[Figure]) -> list[str]:
    """A family as lines: adapter less base, with the verdict in words."""
    if not rows:
        return ["No difference between base and adapter could be measured."]
    head = ("task", "measure", "n", "adapter - base [95 %]", "p (Holm)", "verdict")
    cells = [
        (row["task"], row["measure"], f"{row['n']:,}", number(row), p_value(row["p_holm"]), row["verdict"])
        for row in rows
    ]
    return aligned([head, *cells], left=2)
