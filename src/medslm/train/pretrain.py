"""Pretraining: from a recipe to a whole model that anybody loads with `AutoModelForCausalLM`.

One loop learns from two sources: windows of running text, and questions of which the answers carry loss.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from accelerate import PartialState

from medslm import files
from medslm.data import rows, screening, tokens
from medslm.data.formats.render import Renderer
from medslm.data.suites import suites
from medslm.errors import MedslmError
from medslm.models import load
from medslm.recipe import Fingerprint, Lesson, Pretrain
from medslm.train import beginning, blocks, checkpoint, pretrained, record, tracking
from medslm.train.beginning import Beginning
from medslm.train.blocks import Source
from medslm.train.loop import Loop, warmup
from medslm.train.planning import say


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before the first weight is loaded."""

    recipe: Pretrain
    folder: Path
    first: Beginning
    renderer: Renderer
    rows: rows.Rows
    fingerprint: Fingerprint
    world_size: int


def train(recipe: Pretrain, folder: Path) -> None:
    """Train the recipe into `folder`: a new run, or the rest of one that was interrupted.

    Leaves `model/`, `run.json`, `samples.json`, `loss.png`, `checkpoints/`, and the tokens of running text in `tokens/`.
    Raises `MedslmError` for bad input, a folder that holds another recipe's run, too little disk or memory, and a loss
    that is no number.
    """
    earlier = record.started(folder)
    planned = plan(recipe, folder)
    if earlier is not None:
        record.refuse_another(folder, earlier, planned.fingerprint)
        if earlier["status"] == "finished":
            say(f"{folder} is finished already; remove it to train again. Next: medslm generate {recipe.name} '...'")
            return
    checkpoint.require_folder(folder)
    describe(planned)
    pretrained.asked(recipe, planned.first.tokenizer, planned.renderer, sorted(planned.rows.fields))
    source, held_out, headers = sources(planned)
    steps = steps_of(recipe, len(source))
    model, extended = beginning.model(recipe, planned.first)
    checkpoint.require_space(folder, model.num_parameters())
    loop = Loop(model.to(_device()), recipe, steps, folder / "checkpoints")
    say(f"  {model.num_parameters():,} weights, {steps:,} steps of {recipe.global_batch_size} rows, {loop.dtype}")
    say(f"  {extended}" if extended else f"  positions: {recipe.max_length}")
    if warmup(recipe, steps) > steps:
        say(f"  the warm-up of {warmup(recipe, steps):,} steps is not over when the run is: the peak is not reached")
    known = record.common(planned, recipe.dtype) | {
        "base": planned.first.base,
        "tokens": {name: asdict(header) for name, header in headers.items()},
        "positions": asdict(extended) | {"how": str(extended)} if extended else None,
        "speed": {"rows_per_pass": recipe.rows(planned.world_size), "compiled": loop.compiled},
    }
    _fit(planned, loop, source, held_out, known)


def plan(recipe: Pretrain, folder: Path) -> Plan:
    """Resolve every name and screen the rows; bad input raises `MedslmError` here, before anything is written."""
    exam = suites[recipe.suite].tasks if recipe.suite else ()
    world_size = PartialState(cpu=load.device() == "cpu").num_processes
    recipe.rows(world_size)
    first = beginning.find(recipe, folder)
    renderer = Renderer(first.tokenizer, recipe.format)
    # running text is tokenised afterwards, in pieces that survive an interruption: what is prepared holds the texts
    tokenizer = None if recipe.on_text else first.tokenizer
    built = rows.build(recipe, tokenizer, first.base["license"], (task.benchmark for task in exam), keep=recipe.on_text)
    if recipe.on_text:  # whose documents are cut into windows, however long they are
        built = replace(built, gates={name: gate for name, gate in built.gates.items() if name != "lengths"})
    decided = {
        **recipe.learnt(),
        "base_revision": first.base["revision"],
        "corpora": {name: report["version"] for name, report in built.corpora.items()},
        "template_hash": renderer.template_hash,
        "examples": [len(built.train), len(built.validation)],
    }
    return Plan(recipe, folder, first, renderer, built, Fingerprint(files.as_json(decided)), world_size)


def describe(planned: Plan) -> None:
    """Say what is about to happen, and everything that was dropped."""
    recipe, built = planned.recipe, planned.rows
    begins = f"the weights of {recipe.start}" if recipe.start else "random weights"
    say(f"{recipe.name}: GPT-2 from {begins}, the tokenizer of {recipe.base}, on {load.device()}")
    for line in screening.lines(built.corpora, built.gates):
        say(f"  {line}")
    say(f"  {len(built.train)} to train on, {len(built.validation)} held out for validation")


def sources(planned: Plan) -> tuple[Source, Source, dict[str, tokens.Header]]:
    """What is learnt, what is judged, and the headers of the files of tokens, if there are any.

    Raises `MedslmError` if the text is shorter than a window.
    """
    recipe, built = planned.recipe, planned.rows
    if not recipe.on_text:
        return blocks.Examples(built.train, recipe.seed), blocks.Examples(built.validation, None), {}
    made: dict[str, tokens.Header] = {}
    found: list[Source] = []
    for name, part, seed in (("train", built.train, recipe.seed), ("validation", built.validation, None)):
        path = planned.folder / "tokens" / f"{name}.bin"
        size = len(planned.first.tokenizer)
        with checkpoint.writing(path):
            made[name] = header = tokens.build(path, part, planned.renderer, _documents(planned, name), size)
        left_out = "".join(f", {number} left out: {reason}" for reason, number in header.left_out.items())
        say(f"  {path.name}: {header.count:,} tokens of {header.documents:,} documents{left_out}")
        windows = blocks.Windows(tokens.read(path), recipe.max_length, seed) if header.count else ()
        if not len(windows):
            raise MedslmError(
                f"{path} holds {header.count:,} tokens, too few for windows of max_length={recipe.max_length}; add text, "
                "or change validation_fraction"
            )
        found.append(windows)  # type: ignore[arg-type]  # none of them is empty
    return found[0], found[1], made


def _documents(planned: Plan, part: str) -> str:
    """SHA-256 of what decides which documents stand in a file of tokens, and in which order."""
    names = {field.name for field in fields(Lesson)} - {"max_length"}  # windows are cut later
    told = {name: value for name, value in planned.recipe.as_dict().items() if name in names}
    decided = [part, told, planned.fingerprint.fields["corpora"], planned.fingerprint.fields["examples"]]
    return hashlib.sha256(json.dumps(files.as_json(decided), sort_keys=True).encode()).hexdigest()


def steps_of(recipe: Pretrain, rows_of_epoch: int) -> int:
    """Optimiser steps of the whole run."""
    if recipe.max_steps > 0:
        return recipe.max_steps
    return max(1, round(recipe.num_train_epochs * rows_of_epoch / recipe.global_batch_size))


def _device() -> str:
    return str(PartialState().device)


def _fit(planned: Plan, loop: Loop, source: Source, held_out: Source, known: dict[str, Any]) -> None:
    state = PartialState()
    report_to, line = tracking.configure(planned.folder, planned.fingerprint.digest[:16])
    say(line)
    newest = checkpoint.last(loop.folder)
    if newest:
        loop.resume(newest)
        say(f"going on from {newest.name}")
    with tracking.Curves(report_to, planned.recipe.name, planned.recipe.as_dict(), state.is_main_process) as curves:
        known["tracking"], loop.report = curves.told, curves.log
        if state.is_main_process:
            files.write_json(planned.folder / "run.json", known | {"status": "running"})
        loop.run(source, held_out)
    state.wait_for_everyone()
    if state.is_main_process:
        loop.take_best()
        with checkpoint.writing(planned.folder):
            pretrained.finish(planned.recipe, planned.folder, planned.first.tokenizer, planned.renderer, loop, known)
    state.wait_for_everyone()
