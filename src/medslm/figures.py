"""Measured numbers in words: shares in per cent, other values as they are, differences with their sign."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def percent(value: float) -> str:
    """`0.1234` -> `12.3 %`. Raises `ValueError` for what is no fraction, such as a percentage given twice."""
    if not 0 <= value <= 1:
        raise ValueError(f"{value} is not between 0 and 1; shares are kept as fractions")
    return f"{100 * value:.1f} %"


def points(value: float) -> str:
    """A difference of two fractions in percentage points: `0.1` -> `+10.0`."""
    return f"{100 * value:+.1f}"


def value(number: float) -> str:
    """Three decimals, fewer of large numbers: `0.4567` -> `0.457`, `12.345` -> `12.35`, `4567.8` -> `4,567.8`."""
    return f"{number:,.{_decimals(number)}f}"


def _decimals(number: float) -> int:
    return 3 if abs(number) < 10 else 2 if abs(number) < 1000 else 1


def told(number: float, unit: str) -> str:
    """A figure of that unit (`share` or `value`)."""
    return percent(number) if unit == "share" else value(number)


def changed(number: float, unit: str) -> str:
    """A difference of two figures of that unit: of shares in percentage points."""
    return points(number) if unit == "share" else f"{number:+,.{_decimals(number)}f}"


def change(number: float, interval: Sequence[float], unit: str) -> str:
    """A difference with its interval: `+10.0 [+2.1, +17.9]`."""
    low, high = (changed(bound, unit) for bound in interval)
    return f"{changed(number, unit)} [{low}, {high}]"


def p_value(p: float) -> str:
    """`< 0.001`, else three decimals, as `= 0.042`: what follows the letter p."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Rows of cells, the first their heads, as ruled lines under each other; the columns `right` are set flush right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]
