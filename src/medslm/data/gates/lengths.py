"""Lengths of examples under the tokenizer of the base model: percentiles, what `max_length` would drop, a histogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medslm import files
from medslm.errors import MedslmError

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

CANDIDATES = (256, 448, 512, 1024, 2048, 4096, 8192)
"""Values of `max_length` that are compared."""

SHARES = {"median": 50, "90 %": 90, "95 %": 95, "99 %": 99, "longest": 100}

BARS = 60


@dataclass(frozen=True)
class Limit:
    """What one value of `max_length` costs."""

    max_length: int
    """Tokens."""

    dropped: int
    """Examples longer than that."""

    share: float
    """The same as a part of all, 0 to 1."""


def percentiles(lengths: Array) -> dict[str, int]:
    """So many per cent of the examples have at most so many tokens; empty for no example. (N,) int"""
    import numpy

    if not len(lengths):
        return {}
    found: Array = numpy.percentile(lengths, [*SHARES.values()], method="inverted_cdf")  # lengths that occur
    return {name: int(length) for name, length in zip(SHARES, found)}


def limits(lengths: Array, candidates: Sequence[int] = CANDIDATES) -> list[Limit]:
    """What each candidate for `max_length` would drop of the examples. (N,) int"""
    dropped = [int((lengths > most).sum()) for most in candidates]
    return [Limit(most, number, number / max(1, len(lengths))) for most, number in zip(candidates, dropped)]


def table(lengths: Array, candidates: Sequence[int] = CANDIDATES) -> str:
    """Percentiles and limits as lines of aligned text."""
    told = ", ".join(f"{name} {length:,}" for name, length in percentiles(lengths).items())
    lines = [
        f"{len(lengths):,} examples; tokens: {told or 'none'}",
        f"{'max_length':>10}  {'dropped':>12}  {'share':>7}",
    ]
    rows = limits(lengths, candidates)
    return "\n".join([*lines, *(f"{row.max_length:>10,}  {row.dropped:>12,}  {row.share:>7.2%}" for row in rows)])


def plot(lengths: Array, max_length: int, path: Path) -> None:
    """Write a PNG: examples over tokens in bins of equal ratio, and the limit. Raises `MedslmError` for no example."""
    import numpy
    from matplotlib.figure import Figure  # without pyplot: no display and no global state

    if not len(lengths):
        raise MedslmError(f"there is no example whose length could be drawn into {path}; prepare the corpus first")
    longest = max(int(lengths.max()), max_length)
    edges = numpy.unique(numpy.geomspace(1, longest + 1, BARS + 1).round())
    number, edges = numpy.histogram(numpy.maximum(lengths, 1), edges)
    figure = Figure(figsize=(7, 4), dpi=144, layout="constrained")
    axes = figure.subplots()
    axes.stairs(number, edges, fill=True, color="#9bb8d3")
    over = limits(lengths, [max_length])[0]
    told = f"max_length={max_length:,} drops {over.dropped:,} ({over.share:.1%})"
    axes.axvline(max_length, color="#c0392b", linewidth=1.5, label=told)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda tokens, _: f"{tokens:,.0f}")
    title = f"{len(lengths):,} examples, the longest of {int(lengths.max()):,} tokens"
    axes.set(xlabel="tokens of prompt and answer", ylabel="examples", title=title, ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False)
    with files.beside(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
