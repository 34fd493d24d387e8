"""Seconds of an optimiser step on a CPU: plain TRL, which pads and scores every position, beside ours.

    python benchmarks/cpu_step.py                          # the quickstart's recipe, real weights, 4 steps, 3 rounds
    python benchmarks/cpu_step.py --steps 1 --rounds 2     # does it run?

Both learn from the same examples with the same adapter, optimiser, learning rate and threads in one process, in turns, so
that the noise of a shared machine falls on both; the ratio is the median of those of steps side by side. TRL keeps its
defaults but for activation checkpointing, which would make it slower. The learning rate is a tenth of the quickstart's,
which without its warm-up would drive curves apart that bfloat16 has rounded differently.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medslm import environment

environment.prepare()
environment.quiet()
sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))

import torch  # noqa: E402
from smollm2_icd10_lora import RECIPE  # noqa: E402
from trl import SFTConfig, SFTTrainer  # noqa: E402

from medslm.models import load  # noqa: E402
from medslm.models.base import resolve  # noqa: E402
from medslm.models.lora import loras  # noqa: E402
from medslm.train import batches, planning, supervised  # noqa: E402
from medslm.train.pace import Done, Pace  # noqa: E402
from medslm.train.progress import Guard  # noqa: E402

LEARNING_RATE = RECIPE.learning_rate / 10


def fresh() -> Any:
    """The quickstart's base with the adapter that seed 0 makes."""
    torch.manual_seed(0)
    return load.with_new_adapter(load.model(resolve(RECIPE.base)), loras[RECIPE.lora])


def ours(planned: planning.Plan, size: int) -> tuple[Any, Callable[[list[Any]], Any]]:
    """The trainer, and what makes a batch of rows."""
    recipe = dataclasses.replace(planned.recipe, tokens_per_pass=size)
    execution = planning.choose(dataclasses.replace(planned, recipe=recipe))
    model = fresh()
    supervised.quicken(recipe, execution, model)
    pace = Pace.of(model, execution, Done())
    trainer = supervised.trainer(planned, execution.optim, pace, Guard(0.0, pace.done), [])
    return trainer, batches.Layout(execution.tokens_per_pass)


def plain(planned: planning.Plan, folder: str) -> tuple[Any, Callable[[list[Any]], Any]]:
    """The same of TRL's."""
    options: dict[str, Any] = dict.fromkeys(supervised._no_checkpointing(), False)
    config = SFTConfig(
        folder,
        per_device_train_batch_size=planned.recipe.global_batch_size,
        learning_rate=LEARNING_RATE,
        bf16=load.dtype() == torch.bfloat16,
        use_cpu=True,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        report_to=[],
        **options,
    )
    tokenizer = planned.tokenizer
    trainer = SFTTrainer(model=fresh(), args=config, train_dataset=planned.rows.train, processing_class=tokenizer)

    def collate(documents: list[Any]) -> Any:
        rows = [{"input_ids": ids.tolist(), "labels": labels.tolist()} for ids, labels in documents]
        return trainer.data_collator(rows)

    return trainer, collate


def stepper(trainer: Any) -> Callable[[Any], float]:
    """Forward, backward, clipping and the optimiser's step over a batch, as `Trainer` does them; returns the loss."""
    trainer.create_optimizer()
    model, trainer.optimizer = trainer.accelerator.prepare(trainer.model, trainer.optimizer)

    def step(batch: Any) -> float:
        if isinstance(batch, batches.Batch):
            loss = trainer.training_step(model, batch)
        else:
            number = trainer._get_num_items_in_batch([batch], torch.device("cpu"))
            loss = trainer.training_step(model, batch, number)
        trainer.accelerator.clip_grad_norm_(model.parameters(), RECIPE.max_grad_norm)
        trainer.optimizer.step()
        model.zero_grad()
        return float(loss)

    return step


def main() -> None:
    """Print a line for each way: median seconds a step, tokens per second, how many times as fast as TRL, and losses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4, help="of a round, 1 or more")
    parser.add_argument("--rounds", type=int, default=3, help="of which the first is not timed: 2 or more")
    asked = parser.parse_args()
    if asked.steps < 1 or asked.rounds < 2:
        parser.error("nothing would be timed: --steps is 1 or more, --rounds 2 or more, since the first warms up")
    if load.device() != "cpu":
        raise SystemExit("this compares what happens on a CPU; hide the GPU with CUDA_VISIBLE_DEVICES=")
    recipe = dataclasses.replace(RECIPE, mixture={"icd10cm": 0.02}, learning_rate=LEARNING_RATE)
    supervised.use_all_cores(1)
    with tempfile.TemporaryDirectory() as folder:
        planned = planning.plan(recipe, Path(folder))
        ways = {"TRL": plain(planned, folder)} | {
            f"ours, {size:,} tokens a pass": ours(planned, size) for size in (256, 2048)
        }
        read = batches.Documents(planned.rows.train)
    order = batches.Order(len(read), recipe.global_batch_size, recipe.seed)
    examples = [read.__getitems__(numbers) for numbers, _ in zip(order, range(asked.steps))]
    steps = {name: stepper(trainer) for name, (trainer, _) in ways.items()}
    laid = {name: [make(documents) for documents in examples] for name, (_, make) in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    losses: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(asked.rounds):
        for number in range(asked.steps):
            for name, step in steps.items():
                batch = laid[name][number]
                started = time.perf_counter()
                losses[name].append(step(dict(batch) if isinstance(batch, dict) else batch))
                if turn:  # the first round warms up
                    seconds[name].append(time.perf_counter() - started)
    tokens = sum(len(ids) for documents in examples for ids, _ in documents) / asked.steps
    for name, measured in seconds.items():
        median, found = statistics.median(measured), losses[name]
        ratio = statistics.median(theirs / own for theirs, own in zip(seconds["TRL"], measured))
        apart = max(abs(own / theirs - 1) for theirs, own in zip(losses["TRL"], found))
        print(
            f"{name:<28}{median:6.2f} s a step {tokens / median:7,.0f} tok/s {ratio:6.2f} times as fast   "
            f"loss {found[0]:.4f} ... {found[-1]:.4f}, at most {apart:.2%} from TRL's"
        )
    print(
        f"{asked.steps * (asked.rounds - 1)} steps of each in turns, on {torch.get_num_threads()} threads, "
        f"in {load.dtype()}"
    )


if __name__ == "__main__":
    main()
