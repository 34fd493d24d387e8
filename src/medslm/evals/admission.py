"""Who may be judged here, and by what: the refusals before any weight is loaded."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medslm import files
from medslm.data import given
from medslm.data.formats.render import Renderer
from medslm.data.suite import Suite
from medslm.data.suites import suites
from medslm.errors import MedslmError
from medslm.evals import documents, study
from medslm.evals.respondent import HERE
from medslm.evals.scores import Exam
from medslm.evals.through import NOT_MEASURED, SERVED
from medslm.infer.engines import WEIGHTS, engines
from medslm.models import source
from medslm.models.base import Base

MADE_BY = "accelerate launch recipes/<name>.py"


AS_SERVED = "as-served"
"""The protocol of a server, whose weights are its own affair."""


def refuse_batches(batch_size: int | None) -> None:
    """Raise `MedslmError` for batches that hold no prompt."""
    if batch_size is not None and batch_size < 1:
        raise MedslmError(
            f"batches of {batch_size} prompts were asked for; give --batch-size 1 or more, or leave it out"
        )


def examine(name: str, *, own: bool, limit: int | None, available: bool, engine: str = HERE) -> Exam:
    """The suite of that name, as far as its items can be had and `engine` can tell what its studies measure.

    Raises `MedslmError` if either is unknown, for a limit of no items, and with a sentence for each benchmark that cannot
    be had unless `available`.
    """
    engines[engine]
    suite = suites[name]
    if limit is not None and limit < 1:
        raise MedslmError(f"'{name}' was to be judged on {limit} items a task; give --limit 1 or more, or leave it out")
    missing = _missing(suite)
    left = tuple(task for task in suite.tasks if task.benchmark not in missing)
    if missing and not (available and left):
        told = "\n".join(f"  {benchmark}: {why}" for benchmark, why in missing.items())
        raise MedslmError(
            f"{len(missing)} of the benchmarks that suite '{name}' asks cannot be had:\n{told}\nGive their files with "
            "--data NAME=PATH" + (", or judge by the rest with --available" if left else "")
        )
    made = tuple(name for name in suite.studies if engine == HERE or name not in study.INSIDE)
    unmade = {
        name: NOT_MEASURED.format(engine=engine, why=study.INSIDE[name]) for name in suite.studies if name not in made
    }
    return Exam(name, Suite(left, made), own, limit, {**missing, **unmade}, engine)


def _missing(suite: Suite) -> dict[str, str]:
    """Benchmark -> why its items cannot be had. A file that was named for it must be right: its errors are raised."""
    found = {}
    for name in dict.fromkeys(task.benchmark for task in suite.tasks):
        try:
            left_out: Counter[str] = Counter()
            if next(given.read(given.benchmark(name), left_out), None) is None:
                raise documents.empty(name, left_out)
        except MedslmError as error:
            if name in given.paths():
                raise
            found[name] = str(error)
    return found


def kinds(quantization: str, device: str, engine: str = HERE) -> tuple[dict[str, str], tuple[str, ...]]:
    """Protocol -> quantisation of the base's weights, for an adapter that was trained under `quantization`; and a note.

    Where there is no CUDA GPU, or the engine does not load them, quantised weights cannot be multiplied and only the full
    ones are judged. A server has weights of its own.
    """
    if not WEIGHTS[engine]:
        return {AS_SERVED: SERVED}, ()
    if quantization == "none":
        return {"as-trained": quantization}, ()
    if device != "cuda":
        note = (
            f"the adapter was trained on {quantization} weights, which need a CUDA GPU, and there is none here: it is "
            "judged on full-precision weights only, and no model card can be written"
        )
        print(f"note: {note}", file=sys.stderr)
        return {"full-precision": "none"}, (note,)
    if quantization not in WEIGHTS[engine]:
        note = (
            f"the adapter was trained on {quantization} weights, which the engine '{engine}' does not load: it is judged "
            "on full-precision weights only"
        )
        print(f"note: {note}", file=sys.stderr)
        return {"full-precision": "none"}, (note,)
    return {"as-trained": quantization, "full-precision": "none"}, ()


def refuse_another_base(run: Path, record: Mapping[str, Any], base: Base) -> None:
    """Raise `MedslmError` if what the run has learnt is not there, or is an adapter for another base."""
    if "weights" not in record:
        raise MedslmError(
            f"{run} names no weights beside a base: it was trained from random ones, which nothing judges yet, or by an "
            "older version; train it again in the latter case"
        )
    weights = run / record["weights"]
    if not weights.is_file():
        raise MedslmError(f"{weights.parent} holds no {weights.name}; finish the training run first")
    if weights.parent.name != "adapter":
        return
    adapter = weights.parent
    config = files.read_json(adapter / "adapter_config.json", made_by=MADE_BY)
    if (made_for := config["base_model_name_or_path"]) != base.hub_id:
        raise MedslmError(
            f"the adapter in {adapter} was trained for {made_for}, but run.json names {base.hub_id}; put the adapter "
            "and the run.json of one run together"
        )


def refuse_whole(run: Path, record: Mapping[str, Any], engine: str) -> None:
    """Raise `MedslmError` if another engine than `transformers` was to judge a model all of whose weights have learnt."""
    if engine != HERE and (run / record["weights"]).parent.name != "adapter":
        raise MedslmError(
            f"{run} has learnt all weights of a model, and the engine '{engine}' is asked about a base and an adapter on "
            f"it; evaluate with --engine {HERE}"
        )


def refuse_other_weights(trained: Mapping[str, Any], base: Base) -> None:
    """Raise `MedslmError` if this machine has other weights of the base than those trained on."""
    here = source.find(base)
    if not here.are_those_of(trained):
        raise MedslmError(
            f"the adapter was trained on the {trained['source']} weights {trained['revision']} of {base.hub_id}, but here "
            f"are the {here.kind} weights {here.revision}; evaluate where it was trained (HF_HUB_OFFLINE=1 keeps to what "
            "is on the disk), or train again"
        )


def refuse_another_template(trained: str, renderer: Renderer) -> None:
    """Raise `MedslmError` if prompts would be written otherwise than in training."""
    if renderer.template_hash != trained:
        raise MedslmError(
            f"the adapter was trained under template {trained}, but the base's tokenizer and this version write "
            f"prompts under template {renderer.template_hash}; evaluate with the base's revision and the MedSLM of the "
            "training run"
        )
