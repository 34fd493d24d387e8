"""What studies that ask again share: the items behind the outcomes, and options scored under both sides at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from medslm import environment, files
from medslm.data import given
from medslm.data.example import Example
from medslm.data.suite import Task
from medslm.data.suites import suites
from medslm.errors import MedslmError
from medslm.evals import kept
from medslm.evals.study import Case

if TYPE_CHECKING:
    from medslm.evals.harness import Outcome

T = TypeVar("T")
Scored = Mapping[str, Mapping[str, list[float]]]
"""Side -> id -> log-probability of each option, in the order of the letters."""


def by_likelihood(case: Case) -> Iterator[tuple[str, Mapping[str, Sequence[Outcome]]]]:
    """The tasks whose letters were scored, asked for the first time: name, and the outcomes of each side."""
    for name, first in next(iter(case.outcomes.values())).items():
        if first and all(outcome.logprobs for outcome in first) and not any(outcome.meant for outcome in first):
            yield name, {side: of_side[name] for side, of_side in case.outcomes.items()}


def shuffled(case: Case) -> Iterator[tuple[str, Mapping[str, Sequence[Outcome]]]]:
    """The tasks that ask again with the options in another order: name, and the outcomes of each side."""
    for name, first in next(iter(case.outcomes.values())).items():
        if first and all(outcome.meant and outcome.before for outcome in first):
            yield name, {side: of_side[name] for side, of_side in case.outcomes.items()}


def task(name: str) -> Task:
    """The task of that name, whichever suite holds it. Raises `MedslmError` if none does."""
    for suite in suites.values():
        for known in suite.tasks:
            if known.name == name:
                return known
    raise MedslmError(f"no suite has a task called '{name}'; evaluate with the version of MedSLM that judged it")


def items(name: str, ids: Collection[str]) -> list[Example]:
    """The items of task `name` in the order of `ids`. Raises `MedslmError` if the benchmark no longer holds one."""
    wanted = set(ids)
    found = {item.id: item for _, item in given.read(given.benchmark(task(name).benchmark)) if item.id in wanted}
    if missing := [id for id in ids if id not in found]:
        raise MedslmError(
            f"{len(missing)} items of {name}, such as {missing[0]}, are no longer in its benchmark; evaluate again"
        )
    return [found[id] for id in ids]


def fitting(case: Case, asked: Sequence[Example], more: int) -> list[Example]:
    """The examples whose prompts leave room for `more` tokens in what the model reads."""
    room, renderer = case.engine.room, case.engine.renderer
    return [e for e in asked if room is None or len(renderer.ids(renderer.prompt(e))) + more <= room]


def key(case: Case, prompts: Sequence[str], **settings: Any) -> dict[str, Any]:
    """What decides the model's answers (`kept.replies`): weights, arithmetic, versions, template, prompts, settings."""
    digest = hashlib.sha256(json.dumps(list(prompts)).encode()).hexdigest()
    return {
        "adapter_sha256": files.sha256(case.run / case.record["weights"]),
        "base": case.record["base"],
        "dtype": str(case.engine.model.dtype),
        "device": str(case.engine.model.device.type),
        "packages": environment.versions(["medslm", "torch", "transformers"]),
        "template_hash": case.engine.renderer.template_hash,
        "prompts": digest,
        **settings,
    }


def scored(case: Case, path: Path, asked: Sequence[Example], at_once: int | None = None) -> Scored:
    """The options of each example, scored under every side in one go over the data, `at_once` examples together.

    By default as many as the engine takes between two writings to the disk. Kept in `path`. Raises `MedslmError` for ids
    that come twice, and as `Engine.score_sides` does.
    """
    renderer, sides = case.engine.renderer, list(case.sides)
    pairs = {e.id: [(renderer.prompt(e), choice) for choice in renderer.choices(e)] for e in asked}
    _refuse_twice(path, asked, pairs)

    def ask(ids: list[str]) -> list[dict[str, list[float]]]:
        flat = [pair for id in ids for pair in pairs[id]]
        by_side = [iter(found) for found in case.engine.score_sides(flat, list(case.sides.values()))]
        return [{side: [next(of)[0] for _ in pairs[id]] for side, of in zip(sides, by_side)} for id in ids]

    flat = [text for of_item in pairs.values() for pair in of_item for text in pair]
    found = kept.replies(path, key(case, flat), list(pairs), ask, at_once or case.engine.scored_at_once)
    return {side: {id: value[side] for id, value in zip(pairs, found)} for side in sides}


def written(
    case: Case,
    path: Path,
    asked: Sequence[Example],
    write: Callable[[list[str]], Sequence[Any]],
    at_once: int = kept.AT_ONCE,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Side -> id -> what `write(prompts)` gave under that side, `at_once` prompts together; kept in a file a side.

    Raises `MedslmError` for ids that come twice, and as `write` does.
    """
    prompts = {example.id: case.engine.renderer.prompt(example) for example in asked}
    _refuse_twice(path, asked, prompts)
    told: dict[str, dict[str, Any]] = {}
    for side, switched in case.sides.items():

        def ask(ids: list[str], switched: Any = switched) -> Sequence[Any]:
            with switched():
                return write([prompts[id] for id in ids])

        of_side = path.with_name(f"{path.stem}.{side}{path.suffix}")
        found = kept.replies(
            of_side, key(case, list(prompts.values()), **(settings or {})), list(prompts), ask, at_once
        )
        told[side] = dict(zip(prompts, found))
    return told


def _refuse_twice(path: Path, asked: Sequence[Example], ids: Collection[str]) -> None:
    if len(ids) < len(asked):
        raise MedslmError(f"{len(asked)} questions for {path} have only {len(ids)} ids; give each its own")


def under(examples: Sequence[Example], label: str, **changes: Any) -> list[Example]:
    """The examples with changed fields, and `label` before their ids."""
    return [replace(example, id=f"{label}:{example.id}", **changes) for example in examples]
