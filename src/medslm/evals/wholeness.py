"""Whether a file of scores says all that is read of it: it may be of an older version, or edited by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

NEEDED: Mapping[str, type | tuple[type, ...]] = {
    "suite": str,
    "limit": (int, type(None)),
    "hardware": dict,
    **dict.fromkeys(("results", "subjects", "notes"), list),
    **dict.fromkeys(("changed", "unparseable", "missing", "studies", "told"), dict),
}
OF_A_RESULT: Mapping[str, type] = {
    **dict.fromkeys(("protocol", "task", "metric", "unit"), str),
    **dict.fromkeys(("primary", "higher_is_better"), bool),
}
FIGURES = ("base", "adapter", "difference")


def fault(scores: Any) -> str | None:
    """The first thing that is wrong with scores as they were read from a file, in words; none if nothing is."""
    if not isinstance(scores, Mapping):
        return "is no record of scores"
    return next(_faults(scores), None)


def _faults(scores: Mapping[str, Any]) -> Iterator[str]:
    yield from _lacking(scores, NEEDED, "")
    for number, result in enumerate(scores["results"], start=1):
        where = f" in result {number}"
        if not isinstance(result, Mapping):
            yield f"has something else than a record{where}"
            return
        yield from _lacking(result, OF_A_RESULT, where)
        if not any(side in result for side in FIGURES[:2]):
            yield f"has the figures of no side{where}"
        for name in (name for name in FIGURES if name in result):
            if not _is_figure(result[name], with_p=name == "difference"):
                yield f"has no figure with its interval and n under '{name}'{where} ({result['metric']})"


def _lacking(record: Mapping[str, Any], needed: Mapping[str, Any], where: str) -> Iterator[str]:
    for name, kind in needed.items():
        if name not in record:
            yield f"lacks '{name}'{where}"
        elif not isinstance(record[name], kind):
            yield f"has {record[name]!r:.40} for '{name}'{where}"


def _is_figure(told: Any, with_p: bool) -> bool:
    """Whether it is a number with the two ends of its interval and its n; JSON as Python reads it may hold a NaN."""
    if not isinstance(told, Mapping):
        return False
    ends = told.get("ci95", [0.0, 0.0])  # nothing that reads them all needs an interval
    if not isinstance(ends, list) or len(ends) != 2:
        return False
    numbers = [told.get("value"), *ends, told.get("n"), *([told.get("p")] if with_p else [])]
    return all(isinstance(one, (int, float)) and not isinstance(one, bool) and math.isfinite(one) for one in numbers)
