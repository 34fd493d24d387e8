"""Sample cases: questions that base and adapter answer side by side for a reader; shown, never scored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from medslm.data.example import Example
from medslm.errors import MedslmError

FILE = Path(__file__).parents[1] / "banks" / "sample_cases.yaml"
SET = ("tasks", "instruction", "cases")
CASE = ("id", "input", "expected", "source")


@dataclass(frozen=True)
class SampleCase:
    """One question, and what a good answer names."""

    example: Example
    """With what is expected as its output, which decides how a table is asked for; the model does not see it."""

    source: str
    """Where what is expected stands, in words."""


def of_tasks(tasks: Iterable[str], file: Path | None = None) -> Iterator[tuple[str, list[SampleCase]]]:
    """Each of `tasks` that a set of cases goes with, and these cases; a set goes with the first of its tasks only.

    Raises `MedslmError` for a file that cannot be read or is not as it must be.
    """
    left = dict(_sets(file or FILE))
    for task in tasks:
        found = [name for name, (patterns, _) in left.items() if any(fnmatch(task, pattern) for pattern in patterns)]
        if found:
            yield task, [case for name in found for case in left.pop(name)[1]]


def _sets(path: Path) -> dict[str, tuple[list[str], list[SampleCase]]]:
    """Name of a set -> its patterns of tasks, and its cases."""
    import yaml

    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise MedslmError(f"the sample cases in {path} cannot be read ({error}); install medslm again") from error
    if not isinstance(told, dict) or not told:
        raise MedslmError(f"{path} must hold sets of sample cases by name, and is {type(told).__name__}")
    sets = {name: _set(f"{path}: {name}", found) for name, found in told.items()}
    ids = [case.example.id for _, cases in sets.values() for case in cases]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise MedslmError(f"{path} has two cases called {', '.join(twice)}; give each a name of its own")
    return sets


def _set(where: str, told: Any) -> tuple[list[str], list[SampleCase]]:
    _whole(where, told, SET)
    for name in ("tasks", "cases"):
        if not isinstance(told[name], list) or not told[name]:
            raise MedslmError(f"{where} has no list of {name}; write at least one")
    return [str(pattern) for pattern in told["tasks"]], [
        _case(f"{where}, case {number}", one, str(told["instruction"]))
        for number, one in enumerate(told["cases"], start=1)
    ]


def _case(where: str, told: Any, instruction: str) -> SampleCase:
    _whole(where, told, CASE)
    name, source = str(told["id"]), str(told["source"])
    return SampleCase(
        Example(name, instruction, _texts(told["input"]), _texts(told["expected"]), f"sample case {name}"), source
    )


def _whole(where: str, told: Any, fields: Sequence[str]) -> None:
    """All fields, no others, none empty."""
    if not isinstance(told, dict) or set(told) != set(fields):
        found = ", ".join(map(str, told)) if isinstance(told, dict) else type(told).__name__
        raise MedslmError(f"{where} must have {', '.join(fields)}, and has {found}")
    if empty := [name for name in fields if told[name] in (None, "", {})]:
        raise MedslmError(f"{where} has nothing under {', '.join(empty)}; write it, or take the case out")


def _texts(value: Any) -> Any:
    """The same with text in the place of every number and date that YAML has made."""
    if isinstance(value, Mapping):
        return {str(name): _texts(part) for name, part in value.items()}
    return [_texts(part) for part in value] if isinstance(value, list) else str(value)
