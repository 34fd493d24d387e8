"""What a run will be, decided and said before the first weight is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate import PartialState
from transformers import PreTrainedTokenizerBase

from medslm import files
from medslm.data import rows, screening
from medslm.data.formats.render import Renderer
from medslm.data.suite import suites
from medslm.models import load, source
from medslm.models.base import resolve
from medslm.models.lora import loras
from medslm.recipe import Fingerprint, Sft
from medslm.train import record, way
from medslm.train.way import Way

if TYPE_CHECKING:
    import datasets
    import numpy


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before the first weight is loaded."""

    recipe: Sft
    folder: Path
    tokenizer: PreTrainedTokenizerBase
    renderer: Renderer
    rows: rows.Rows
    fingerprint: Fingerprint
    world_size: int


def plan(recipe: Sft, folder: Path) -> Plan:
    """Resolve every name and build the rows; bad input raises `MedslmError` here, before anything is written."""
    base, lora, exam = resolve(recipe.base), loras[recipe.lora], suites[recipe.suite]
    world_size = PartialState(cpu=load.device() == "cpu").num_processes
    recipe.share(world_size)
    tokenizer = load.tokenizer(base)
    renderer = Renderer(tokenizer, recipe.format)
    license = base.license or source.find(base).license
    built = rows.build(recipe, tokenizer, license, (task.benchmark for task in exam.tasks))
    decided = {
        **recipe.learnt(),
        "lora_fields": asdict(lora),
        "base_revision": source.find(base).revision,
        "corpora": {name: report["version"] for name, report in built.corpora.items()},
        "template_hash": renderer.template_hash,
        "examples": [len(built.train), len(built.validation)],
    }
    fingerprint = Fingerprint(files.as_json(decided))
    return Plan(recipe, folder, tokenizer, renderer, built, fingerprint, world_size)


def lengths(rows: datasets.Dataset) -> numpy.ndarray[Any, Any]:
    """Tokens of each row. (N,)"""
    column: numpy.ndarray[Any, Any] = rows.select_columns(["length"]).with_format("numpy")["length"][:]
    return column


def choose(planned: Plan, earlier: Mapping[str, Any] | None = None) -> Way:
    """How the run is computed here; `earlier` is the record of the start that it resumes. Raises as `way.choose`."""
    rows, recipe = planned.rows, planned.recipe
    share = recipe.share(planned.world_size)
    return way.choose(recipe, lengths(rows.train), lengths(rows.validation), share, earlier)


def say(line: str) -> None:
    """Print on one process only."""
    if PartialState().is_main_process:
        print(line, flush=True)


def identity(planned: Plan) -> dict[str, Any]:
    """The part of `run.json` that is known before training."""
    recipe, base, built = planned.recipe, resolve(planned.recipe.base), planned.rows
    found = source.find(base)
    return {
        "schema": record.SCHEMA,
        "name": recipe.name,
        "recipe": recipe.as_dict(),
        "fingerprint": planned.fingerprint.digest,
        "fingerprint_fields": dict(planned.fingerprint.fields),
        "base": {
            "name": recipe.base,
            "hub_id": base.hub_id,
            "license": base.license or found.license,
            "source": found.kind,
            "revision": found.revision,
        },
        "corpora": built.corpora,
        "gates": built.gates,
        "examples": {"train": len(built.train), "validation": len(built.validation), "too_long": too_long(built)},
        "template_hash": planned.renderer.template_hash,
        "end_of_turn": planned.renderer.end_of_turn,
        "instructions": sorted(built.fields),
        "fields": built.fields,
        "lora": asdict(loras[recipe.lora]),
        "packages": record.packages(),
        "python": record.python(),
        "git": record.git(),
        "machine": record.machine(planned.world_size, str(load.dtype(recipe.dtype)).removeprefix("torch.")),
    }


def too_long(built: rows.Rows) -> int:
    """Examples that were dropped since they are longer than `max_length`."""
    return sum(report["too_long"] for report in built.corpora.values())


def describe(planned: Plan, chosen: Way) -> None:
    """Say what is about to happen, and everything that was dropped."""
    recipe, built = planned.recipe, planned.rows
    say(f"{recipe.name}: {recipe.base} + {recipe.lora}, quantization {recipe.quantization}, on {load.device()}")
    for line in screening.lines(built.corpora, built.gates):
        say(f"  {line}")
    say(f"  {len(built.train)} to train on, {len(built.validation)} held out for validation")
    say(f"  {recipe.global_batch_size} examples a step on {planned.world_size} process(es)")
    for line in chosen.lines:
        say(f"  {line}")
