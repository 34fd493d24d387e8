"""The scores of a run: base and adapter side by side, each metric with its interval and its paired test."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medslm import files
from medslm.data import given
from medslm.data.suite import Suite, Task
from medslm.errors import MedslmError
from medslm.evals import harness, positions, results, wholeness
from medslm.evals.harness import Outcome
from medslm.evals.respondent import HERE
from medslm.evals.results import Protocol

SCHEMA = 2


@dataclass(frozen=True)
class Exam:
    """Which suite judges, and how much of it."""

    name: str
    suite: Suite
    """What of it can be asked here."""

    own: bool
    """Whether it is the one that the recipe names, on which the model card stands."""

    limit: int | None = None
    """Items a task, or all."""

    missing: Mapping[str, str] = field(default_factory=dict)
    """Benchmark or study -> why it could not be asked or made, where that was allowed."""

    engine: str = HERE
    """What answers (`medslm list engines`)."""

    @property
    def folder(self) -> str:
        """Name of the folder in which its answers are kept."""
        return _folder(self.name, self.limit)

    @property
    def file(self) -> str:
        """Name of the file of its scores; a part of the items never gets the name that model cards read."""
        return file(None if self.own else self.name, self.limit is not None)


def _folder(suite: str, limit: int | None) -> str:
    """The answers of a trial never take the place of the real ones."""
    return suite if limit is None else f"{suite}.limited"


def home(run: Path, engine: str) -> Path:
    """The folder of a run in which the scores and answers of an engine lie.

    Those of another than `transformers` have a folder of their own: they never take the place of those on which a model
    card stands.
    """
    return run if engine == HERE else run / "engines" / engine


def answers(folder: Path, scores: Mapping[str, Any], protocol: str, side: str, task: str) -> Path:
    """The file of answers to a task (`medslm.evals.samples`) that the scores in a folder (`home`) add up."""
    return folder / "eval" / _folder(scores["suite"], scores["limit"]) / protocol / side / f"{task}.jsonl"


def file(suite: str | None = None, limited: bool = False) -> str:
    """Name of a file of scores: of the recipe's own suite, or of another one."""
    return ".".join(["scores", *([suite] if suite else []), *(["limited"] if limited else []), "json"])


def read(path: Path, made_by: str) -> dict[str, Any]:
    """Scores from a file. Raises `MedslmError` if it is missing, broken, or written by another version."""
    scores: dict[str, Any] = files.read_json(path, made_by)
    if isinstance(scores, dict) and (schema := scores.get("schema")) != SCHEMA:
        raise MedslmError(f"{path} has schema {schema!r} where {SCHEMA} is read; write it again with `{made_by}`")
    if (fault := wholeness.fault(scores)) is not None:
        raise MedslmError(f"{path} {fault}: it is not as it was written; write it again with `{made_by}`")
    return scores


def find(run: Path, suite: str | None = None, trials: bool = True, engine: str = HERE) -> dict[str, Any]:
    """The scores of a run by a suite, or by its recipe's; the complete ones, else with `trials` those of a trial.

    Raises `MedslmError` if the engine has given none.
    """
    made_by = f"medslm eval {run.resolve().name}" + (f" --suite {suite}" if suite else "")
    made_by += f" --engine {engine}" if engine != HERE else ""
    folder = home(run, engine)
    for limited in (False, True) if trials else (False,):
        for path in dict.fromkeys(folder / file(name, limited) for name in (suite, None)):
            if path.is_file() and (found := read(path, made_by))["suite"] == (suite or found["suite"]):
                return found
    raise MedslmError(f"{folder / file(suite)} is not there; `{made_by}` writes it")


def assemble(
    judged: Mapping[str, Any],
    exam: Exam,
    protocols: Sequence[Protocol],
    hardware: Mapping[str, Any],
    notes: Sequence[str] = (),
    versions: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What goes into a file of scores; `judged` says who was judged: name, fingerprint, template and adapter.

    `versions`: of what computes in another engine than `transformers`. Raises `MedslmError` if the sides did not see the
    same prompts.
    """
    suite = exam.suite
    for protocol in protocols:
        for task in suite.tasks:
            _refuse_unlike(task, protocol.of(task))
    datasets = {task.benchmark: _dataset(task.benchmark) for task in suite.tasks}
    told = {
        (protocol.name, task.name, metric.name): results.result(protocol, task, metric, datasets[task.benchmark])
        for protocol in protocols
        for task in suite.tasks
        for metric in task.metrics
    }
    measured = [result for result in told.values() if result is not None]
    results.adjust(measured)
    empty = [f"{name} of {task} ({of}): too few items have it" for (of, task, name), one in told.items() if one is None]
    asked = next(iter(protocols[0].sides.values()))  # all sides and protocols are asked the same
    left_out = {task: dict(reasons) for task, reasons in asked.left_out.items() if reasons}
    unasked = [f"{n:,} not asked in {task}: {why}" for task, of in left_out.items() for why, n in of.items()]
    subjects = [results.by_subject(protocol, task) for protocol in protocols for task in suite.tasks]
    picks = {of.name: results.picks(of, suite) for of in protocols}
    return {
        "schema": SCHEMA,
        **judged,
        "suite": exam.name,
        "limit": exam.limit,
        "lm_eval": harness.version(),
        "packages": {
            **{name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft", "lm_eval")},
            **(versions or {}),
        },
        "hardware": dict(hardware),
        "engine": exam.engine,
        "missing": dict(exam.missing),
        "notes": [*notes, *unasked, *empty, *positions.told(measured, picks)],
        "results": measured,
        "subjects": [found for found in subjects if found is not None],
        "changed": {of.name: results.beside(of, suite, "changed") for of in protocols},
        "unparseable": {of.name: results.beside(of, suite, "unparseable") for of in protocols},
        "rules": {of.name: results.rules(of, suite) for of in protocols},
        "left_out": left_out,
        "cut": {of.name: results.cut(of, suite) for of in protocols},
        "picks": picks,
        "studies": _by_study({of.name: of.studies for of in protocols}),
        "told": _by_study({of.name: of.told for of in protocols}),
        "seconds": {of.name: round(of.seconds, 1) for of in protocols},
        "reused": {of.name: of.reused for of in protocols},
    }


def _by_study(found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Study -> protocol -> what was found."""
    names = dict.fromkeys(name for of_protocol in found.values() for name in of_protocol)
    return {name: {of: studies[name] for of, studies in found.items() if name in studies} for name in names}


def _dataset(benchmark: str) -> dict[str, Any]:
    record = given.benchmark(benchmark)
    return {"source": record.source.name, "version": record.source.version(), "split": record.split}


def _refuse_unlike(task: Task, sides: Mapping[str, Sequence[Outcome]]) -> None:
    base, *others = sides.values()
    for adapter in others:
        if len(base) != len(adapter):
            raise MedslmError(
                f"{task.name}: the base answered {len(base)} items, the adapter {len(adapter)}; evaluate again"
            )
        for one, other in zip(base, adapter):
            if (one.id, one.prompt, one.key) != (other.id, other.prompt, other.key):
                raise MedslmError(
                    f"{task.name}: base and adapter were not asked the same at item {one.id}; evaluate both again together"
                )
