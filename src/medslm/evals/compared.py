"""A comparison of runs as aligned tables, with the verdict in words, and as a picture of the differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medslm import figures, files
from medslm.data.suite import Unit
from medslm.data.suites import suites
from medslm.errors import MedslmError
from medslm.evals import statistics
from medslm.evals.statistics import Difference, Estimate, Repeats

HEAD = ("protocol", "task", "metric", "run", "n", "mean [95 % interval]", "p (Holm)", "verdict")
COLOURS = {"better": "#1f4e79", "worse": "#c0392b", statistics.NO_DIFFERENCE: "#999999"}


@dataclass(frozen=True)
class Contrast:
    """A run less the first of its table, in one metric."""

    difference: Difference
    lower_is_better: bool
    p: float | None = None
    """Adjusted over the family, once that is known."""

    @property
    def verdict(self) -> str:
        """In words; both the adjusted test and the interval must speak for a difference."""
        return statistics.verdict(self.difference, self.p, self.lower_is_better)


@dataclass(frozen=True)
class Row:
    """One metric of all runs of a table."""

    protocol: str
    task: str
    metric: str
    unit: Unit
    primary: bool
    estimates: Sequence[Estimate]
    contrasts: Sequence[Contrast]
    """Of all runs but the first."""


@dataclass(frozen=True)
class Table:
    """Runs that were judged alike."""

    labels: tuple[str, ...]
    rows: Sequence[Row]


def adjusted(tables: Sequence[Table]) -> list[Table]:
    """The same with every p adjusted: the family is all that is told at once."""
    ps = [contrast.difference.p for table in tables for row in table.rows for contrast in row.contrasts]
    fresh = iter(statistics.holm(ps))

    def with_p(row: Row) -> Row:
        return replace(row, contrasts=[replace(contrast, p=next(fresh)) for contrast in row.contrasts])

    return [replace(table, rows=[with_p(row) for row in table.rows]) for table in tables]


def text(tables: Sequence[Table], repeated: Sequence[str], notes: Sequence[str]) -> str:
    """For a terminal: one table for each set of runs that may stand side by side, then what must be said of them."""
    tests = sum(len(row.contrasts) for table in tables for row in table.rows)
    legend = "The asterisk marks the primary metric. " + (
        f"Differences are paired item by item; p is adjusted over the {tests} tests shown here (Holm)."
        if tests
        else "Nothing here could be compared."
    )
    parts = [_aligned(table) for table in tables]
    parts += ["\n".join(lines) for lines in (repeated, [legend, *notes]) if lines]
    return "\n\n".join(parts) + "\n"


def _aligned(table: Table) -> str:
    less = f"less {table.labels[0]} [95 % interval]"
    rows: list[tuple[str, ...]] = [(*HEAD[:6], less, *HEAD[6:])] if len(table.labels) > 1 else [HEAD[:6]]
    width = len(rows[0])
    rows += [cells[:width] for row in table.rows for cells in _cells(row, table.labels)]
    return "\n".join(figures.aligned(rows))


def _cells(row: Row, labels: Sequence[str]) -> list[tuple[str, ...]]:
    metric = row.metric + (" *" if row.primary else "")
    contrasts = ["", "", ""], *(_contrast(contrast, row.unit) for contrast in row.contrasts)
    return [
        (row.protocol, row.task, metric, label, f"{found.n:,}", _mean(found, row.unit), *contrast)
        for label, found, contrast in zip(labels, row.estimates, contrasts)
    ]


def _contrast(contrast: Contrast, unit: Unit) -> list[str]:
    found, p = contrast.difference, contrast.difference.p if contrast.p is None else contrast.p
    return [figures.change(found.value, (found.low, found.high), unit), f"p {figures.p_value(p)}", contrast.verdict]


def _mean(found: Estimate, unit: Unit) -> str:
    if unit == "share":
        return f"{100 * found.value:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}]"
    return "{} [{}, {}]".format(*map(figures.value, (found.value, found.low, found.high)))


def repeats(key: tuple[str, str, str], values: Sequence[tuple[str, float]], unit: Unit) -> str:
    """One line on the same training under several seeds; `values` are (run, mean)."""
    protocol, task, metric = key
    numbers = [value for _, value in values]
    found, told = Repeats.of(numbers), _mean(statistics.average(numbers, *_bounds(task, metric, unit)), unit)
    spread = f"{100 * found.sd:.1f}" if unit == "share" else figures.value(found.sd)
    return (
        f"Over {found.n} seeds ({', '.join(label for label, _ in values)}), {metric} of {task} ({protocol}): mean {told}, "
        f"standard deviation {spread}."
    )


def _bounds(task: str, metric: str, unit: Unit) -> tuple[float, float]:
    """What the metric can be, as a suite that asks the task says; of one that none asks any more, what its unit says."""
    tasks = (one for suite in suites.values() for one in suite.tasks if one.name == task)
    otherwise = (0.0, 1.0) if unit == "share" else (-math.inf, math.inf)
    return next((of.bounds for one in tasks for of in one.metrics if of.name == metric), otherwise)


def plot(tables: Sequence[Table], path: Path) -> str:
    """Write a PNG of every difference with its interval; returns a sentence that says where.

    Raises `MedslmError` if nothing could be compared.
    """
    from matplotlib.figure import Figure  # without pyplot: no display and no global state

    bars: dict[Unit, list[tuple[str, Contrast]]] = {}
    for table in tables:
        for row in table.rows:
            for label, contrast in zip(table.labels[1:], row.contrasts):
                told = f"{row.task} {row.metric} ({row.protocol})\n{label} less {table.labels[0]}"
                bars.setdefault(row.unit, []).append((told, contrast))
    if not bars:
        raise MedslmError(f"no two runs were judged alike, so that {path} would be empty; compare without a picture")
    heights = [1.2 + 0.5 * len(of_unit) for of_unit in bars.values()]
    figure = Figure(figsize=(8, sum(heights)), dpi=144, layout="constrained")
    parts = figure.subplots(len(bars), squeeze=False, height_ratios=heights)[:, 0]  # shares and values share no axis
    for axes, (unit, of_unit) in zip(parts, bars.items()):
        _draw(axes, unit, of_unit)
    with files.beside(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    return f"The differences are drawn in {path}."


def _draw(axes: Any, unit: Unit, bars: Sequence[tuple[str, Contrast]]) -> None:
    scale = 100 if unit == "share" else 1
    for place, (_, contrast) in enumerate(bars):
        found = contrast.difference
        value, low, high = (scale * number for number in (found.value, found.low, found.high))
        spread = [[max(0.0, value - low)], [max(0.0, high - value)]]
        axes.errorbar(value, place, xerr=spread, fmt="o", capsize=3, color=COLOURS[contrast.verdict])
    for word, colour in COLOURS.items():
        axes.plot([], [], "o", color=colour, label=word)
    axes.axvline(0, color="#333333", linewidth=1)
    axes.set_yticks(range(len(bars)), [label for label, _ in bars], fontsize=7)
    of = "shares, in percentage points" if unit == "share" else "means"
    axes.set(xlabel=f"difference of {of}, with 95 % interval", ylim=(len(bars) - 0.5, -0.5))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(frameon=False, fontsize=7, loc="best")
