"""A pretraining: what it begins from, the windows of text that it learns, and the disk that it takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2LMHeadModel

from medslm.data import rows
from medslm.data.example import Example
from medslm.data.formats.refusal import Unwritable
from medslm.data.formats.render import Renderer
from medslm.data.rows import Rows
from medslm.doctor.finding import Finding
from medslm.doctor.launching import room
from medslm.errors import MedslmError
from medslm.evals import documents
from medslm.models import shapes
from medslm.models.base import resolve
from medslm.recipe import Pretrain
from medslm.train import beginning, checkpoint
from medslm.train.beginning import TOKENIZER, Beginning
from medslm.train.loop import warmup

SAMPLE = 200
"""Documents whose tokens are counted, spread evenly; the others are taken to be as long."""

TOKEN_BYTES = 2


def begin(asked: Pretrain, runs: Path) -> tuple[Beginning | None, list[Finding]]:
    """Tokenizer and first weights, none where they are not here; and whether they suit the recipe, and fit on the disk."""
    if not asked.start and shapes.cached(resolve(asked.base)) is None:
        hub_id = resolve(asked.base).hub_id
        told = f"{hub_id} is not on this disk: a run fetches its tokenizer, and none of its weights"
        patterns = " ".join(f"'{pattern}'" for pattern in TOKENIZER)
        return None, [Finding("tokenizer", told, "warning", f"hf download {hub_id} --include {patterns}")]
    try:
        first = beginning.find(asked, runs / asked.name)
        extended = beginning.model(asked, first)[1] if asked.start else None
    except MedslmError as error:
        return None, [Finding("start" if asked.start else "tokenizer", str(error), "failure")]
    end = first.tokenizer.eos_token_id
    with torch.device("meta"):  # counted, and not drawn
        size = GPT2LMHeadModel(beginning.config(asked, int(end))).num_parameters()
    weights = f"those of the run {asked.start}" if asked.start else "random"
    found = [
        Finding("tokenizer", f"{first.base['hub_id']} ({first.base['source']}, {first.base['revision'][:12]})"),
        Finding("weights", f"{size:,}, {weights}"),
        room("disk of the run", runs, checkpoint.space(size) + 4 * size, "checkpoints and model"),
    ]
    return first, [*found, Finding("positions", str(extended).removeprefix("positions: "))] if extended else found


def text(asked: Pretrain, first: Beginning, exam: Sequence[str]) -> Rows:
    """The documents, prepared as the run will prepare them; no length drops any, since they are cut into windows."""
    built = rows.build(asked, None, first.base["license"], exam, keep=True)
    return dataclasses.replace(built, gates={name: gate for name, gate in built.gates.items() if name != "lengths"})


def windows(asked: Pretrain, built: Rows, renderer: Renderer, runs: Path) -> tuple[list[Finding], dict[str, Any]]:
    """How many windows an epoch has, by a sample of the documents, and how often the run reads them."""
    means = {name: _mean(part, renderer) for name, part in (("train", built.train), ("validation", built.validation))}
    tokens = {"train": means["train"] * len(built.train), "validation": means["validation"] * len(built.validation)}
    each = {name: int(count) // asked.max_length for name, count in tokens.items()}
    facts = {"tokens": {name: round(count) for name, count in tokens.items()}, "windows": each}
    few = [name for name, number in each.items() if not number]
    told = (
        f"some {tokens['train']:,.0f} tokens to train on and {tokens['validation']:,.0f} for validation (by {SAMPLE} "
        f"documents of each at most): {each['train']:,} and {each['validation']:,} windows of {asked.max_length}"
    )
    advice = "more text, or another validation_fraction" if few else ""
    found = [Finding("windows", told, "failure" if few else "fine", advice)]
    if not few:
        found += steps(asked, each["train"])
        found.append(
            room("disk of the tokens", runs, round(TOKEN_BYTES * sum(tokens.values())), "train.bin and validation.bin")
        )
    return found, facts


def _mean(texts: Any, renderer: Renderer) -> float:
    """Tokens a document, of those that can be written."""
    chosen, counted = documents.spread(range(len(texts)), SAMPLE), 0
    for line in texts.select(chosen)["example"]:
        try:
            counted += len(renderer.tokens(Example.from_json(line)).input_ids)
        except Unwritable:  # which the run counts
            continue
    return counted / max(1, len(chosen))


def steps(asked: Pretrain, each: int) -> Iterator[Finding]:
    """How often the run reads the `each` windows or examples of an epoch, and whether its warm-up ends before it."""
    passes = asked.num_train_epochs
    number = max(1, round(passes * each / asked.global_batch_size))
    if asked.max_steps > 0:
        number, passes = asked.max_steps, asked.max_steps * asked.global_batch_size / each
    what = "windows" if asked.on_text else "examples"
    yield Finding("steps", f"{number:,} of {asked.global_batch_size:,} {what}, which are read {passes:.3g} times")
    if (warm := warmup(asked, number)) > number:
        told = f"the warm-up of {warm:,} steps is not over when the run is: the peak is not reached"
        yield Finding("warm-up", told, "warning", "--warmup-steps 0.05, a fraction of all steps")


def example(built: Rows, asked: Pretrain, renderer: Renderer, tokenizer: Any) -> list[str]:
    """The beginning of the first document, a window long."""
    ids = renderer.tokens(Example.from_json(built.train[0]["example"])).input_ids
    shown: str = tokenizer.decode(ids[: asked.max_length])
    return shown.splitlines()
