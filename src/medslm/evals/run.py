"""`medslm eval NAME`: judge the adapter of a run beside its base, on the same prompts, and write the scores."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medslm import files
from medslm.data.formats.render import Renderer
from medslm.errors import MedslmError
from medslm.evals import admission, harness, scores, seats, study
from medslm.evals.admission import AS_SERVED, MADE_BY
from medslm.evals.harness import Judged
from medslm.evals.respondent import HERE
from medslm.evals.results import Protocol
from medslm.evals.scores import Exam
from medslm.evals.seats import Candidate, Seat
from medslm.evals.sitting import Sitting
from medslm.evals.study import Case
from medslm.evals.through import SERVED
from medslm.infer import records
from medslm.infer.engines import WEIGHTS
from medslm.models import load, source
from medslm.models.base import resolve

ALONE = "full-precision"
"""The protocol under which a base without an adapter is judged."""

NEEDED = (
    *("status", "template_hash", "base.source", "base.revision"),
    *(f"recipe.{name}" for name in ("base", "format", "dtype", "quantization", "suite")),
)
"""What is read of a run's `run.json`."""


def evaluate_run(
    run: Path,
    suite: str | None = None,
    *,
    limit: int | None = None,
    batch_size: int | None = None,
    available: bool = False,
    engine: str = HERE,
) -> Path:
    """Judge `run/adapter` and its base by `suite`, or by the one that the recipe names; returns the file of scores.

    It is `run/scores.json`, or `run/scores.<suite>.json` for another suite; with a `limit` `scores.limited.json` or
    `scores.<suite>.limited.json`; those of another `engine` than `transformers` lie in `run/engines/<engine>`. An adapter
    of a quantised base is judged on those weights (`as-trained`) and on the full ones (`full-precision`), since it may not
    carry over; a server has weights of its own (`as-served`). `available` leaves out, and says, the benchmarks and studies
    that lack their data. Raises `MedslmError` if the adapter is missing or belongs to another base or template, and if the
    engine cannot do what the suite asks.
    """
    admission.refuse_batches(batch_size)
    record = records.read(run / "run.json", MADE_BY, NEEDED)
    base, recipe = resolve(record["recipe"]["base"]), record["recipe"]
    if record["status"] != "finished":
        raise MedslmError(f"the run in {run} is not finished; start its recipe again, it goes on where it stopped")
    admission.refuse_another_base(run, record, base)
    admission.refuse_whole(run, record, engine)
    admission.refuse_other_weights(record["base"], base)
    own = suite in (None, recipe["suite"])
    exam = admission.examine(suite or recipe["suite"], own=own, limit=limit, available=available, engine=engine)
    quantizations, notes = admission.kinds(recipe["quantization"], load.device(), engine)
    who = Candidate(run, base, recipe["format"], recipe["dtype"], quantizations, record, notes)
    return _evaluate(who, exam, batch_size, available)


def evaluate_base(
    name: str,
    folder: Path,
    suite: str,
    *,
    format: str = "chat",
    limit: int | None = None,
    batch_size: int | None = None,
    available: bool = False,
    engine: str = HERE,
) -> Path:
    """Judge the base called `name` by itself, and write `folder/scores.<suite>.json`; the rest as `evaluate_run`.

    Studies compare two sides, so that none is made. Raises `MedslmError` for an unknown base, suite or format.
    """
    admission.refuse_batches(batch_size)
    exam = admission.examine(suite, own=False, limit=limit, available=available, engine=engine)
    without = dict.fromkeys(exam.suite.studies, "it compares an adapter with its base, and a base was judged alone")
    exam = replace(exam, suite=replace(exam.suite, studies=()), missing={**exam.missing, **without})
    quantizations = {ALONE: "none"} if WEIGHTS[engine] else {AS_SERVED: SERVED}
    return _evaluate(Candidate(folder, resolve(name), format, "auto", quantizations, {}), exam, batch_size, available)


@dataclass(frozen=True)
class _Found:
    """What one protocol came to."""

    protocol: Protocol

    lacking: Mapping[str, str]
    """Study -> why it could not be made."""

    hardware: Mapping[str, Any]
    versions: Mapping[str, str]
    notes: tuple[str, ...]


def _evaluate(who: Candidate, exam: Exam, batch_size: int | None, available: bool) -> Path:
    """Judge under every protocol, and write the scores."""
    tokenizer = load.tokenizer(who.base)
    renderer = Renderer(tokenizer, who.format)
    if who.record:
        admission.refuse_another_template(who.record["template_hash"], renderer)
    home = scores.home(who.folder, exam.engine)
    found: list[_Found] = []
    for name, quantization in who.quantizations.items():
        with seats.taken(who, quantization, exam.engine, renderer, tokenizer, batch_size) as seat:
            found.append(_judge(Protocol(name, quantization), seat, who, exam, home / "eval" / exam.folder / name))
        del seat  # or two models would be in memory at once
    missing = {**exam.missing, **{name: why for one in found for name, why in one.lacking.items()}}
    if (lacking := {name: why for name, why in missing.items() if name in exam.suite.studies}) and not (
        available or exam.limit
    ):
        raise MedslmError(_unfinished(lacking, home))
    judged = {
        "name": who.folder.resolve().name,
        "base": who.base.hub_id,
        "base_revision": source.find(who.base).revision,
        "format": who.format,
        "fingerprint": who.record.get("fingerprint"),
        "template_hash": renderer.template_hash,
        "adapter_sha256": None if who.weights is None else files.sha256(who.weights),
    }
    first, notes = found[0], tuple(dict.fromkeys([*who.notes, *(note for one in found for note in one.notes)]))
    told = scores.assemble(
        judged, replace(exam, missing=missing), [one.protocol for one in found], first.hardware, notes, first.versions
    )
    files.write_json(home / exam.file, told)
    return home / exam.file


def _unfinished(lacking: Mapping[str, str], folder: Path) -> str:
    told = "\n".join(f"  {name}: {why}" for name, why in lacking.items())
    return (
        f"{len(lacking)} of the suite's studies could not be made:\n{told}\nAll answers are kept under {folder / 'eval'}: "
        "give what is missing and evaluate again, or take the rest with --available"
    )


def _judge(protocol: Protocol, seat: Seat, who: Candidate, exam: Exam, folder: Path) -> _Found:
    """The answers and studies of one protocol, which are kept in `folder`."""
    started = time.monotonic()
    sitting = Sitting(seat.engine, seat.sides, folder, seat.key)
    sides = _asked(sitting, exam)
    outcomes = {side: judged.outcomes for side, judged in sides.items()}
    case = Case(outcomes, sitting.engine, sitting.sides, sitting.folder, who.folder, who.record, exam.limit)
    studies: dict[str, Mapping[str, Any]] = {}
    told: dict[str, str] = {}
    lacking: dict[str, str] = {}
    for name in exam.suite.studies:
        made = study.find(name)
        try:
            studies[name] = files.as_json(made.measure(case))
            told[name] = made.text(studies[name])
        except MedslmError as error:
            lacking[name] = str(error)
    seconds = time.monotonic() - started
    done = replace(protocol, sides=sides, seconds=seconds, reused=sitting.reused, studies=studies, told=told)
    return _Found(done, lacking, seat.hardware, seat.versions, seat.notes)


def _asked(sitting: Sitting, exam: Exam) -> dict[str, Judged]:
    """What lm-eval makes of all answers. Where they stop coming, it is said that nothing is lost."""
    try:
        return harness.evaluate(sitting, exam.suite, limit=exam.limit)
    except MedslmError as error:
        if exam.engine == HERE or not sitting.held:
            raise
        raise MedslmError(
            f"{error}. {sitting.held:,} answers are kept in {sitting.folder}; the same command asks for the rest"
        ) from error
