"""What a run will be, decided and said before the first weight is loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import PreTrainedTokenizerBase

from medslm import files
from medslm.data.formats.render import Renderer
from medslm.models import load, source
from medslm.models.base import resolve
from medslm.models.lora import loras
from medslm.recipe import Fingerprint, Sft
from medslm.train import record, rows


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
    base, lora = resolve(recipe.base), loras[recipe.lora]
    world_size = PartialState(cpu=load.device() == "cpu").num_processes
    recipe.accumulation_steps(world_size)
    tokenizer = load.tokenizer(base)
    renderer = Renderer(tokenizer, recipe.format)
    built = rows.build(recipe, renderer)
    decided = {
        **recipe.as_dict(),
        "lora_fields": asdict(lora),
        "base_revision": source.find(base).revision,
        "corpora": {name: report["version"] for name, report in built.corpora.items()},
        "template_hash": renderer.template_hash,
        "examples": [len(built.train), len(built.validation)],
    }
    fingerprint = Fingerprint(files.as_json(decided))
    return Plan(recipe, folder, tokenizer, renderer, built, fingerprint, world_size)


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
        "contamination": built.contamination,
        "examples": {"train": len(built.train), "validation": len(built.validation), "too_long": built.too_long},
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


def describe(planned: Plan) -> None:
    """Say what is about to happen, and everything that was dropped."""
    recipe, built = planned.recipe, planned.rows
    longest = max(len(row.input_ids) for row in built.train)
    accumulation = recipe.accumulation_steps(planned.world_size)
    say(f"{recipe.name}: {recipe.base} + {recipe.lora}, quantization {recipe.quantization}, on {load.device()}")
    for name, report in built.corpora.items():
        say(f"  {name}: {report['read']} examples read, {report['contaminated']} dropped as copies of test items")
    say(f"  {built.too_long} dropped as longer than {recipe.max_length} tokens (longest kept: {longest})")
    say(f"  {len(built.train)} to train on, {len(built.validation)} held out for validation")
    say(
        f"  {recipe.global_batch_size} examples a step = {recipe.per_device_train_batch_size} x {accumulation} "
        f"accumulated x {planned.world_size} process(es)"
    )
