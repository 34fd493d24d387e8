"""Seconds of one training step on a CPU: TRL's loss, which scores every position, beside ours, which scores the answer's.

    python benchmarks/completion_loss.py            # the quickstart's recipe, real weights, 6 batches, 2 rounds

Both see the same batches in the same process, in turns, so that the noise of a shared machine falls on both.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import tempfile
import time
from pathlib import Path

from medslm import environment

environment.prepare()
environment.quiet()
sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))

import torch  # noqa: E402
from smollm2_icd10_lora import RECIPE  # noqa: E402

from medslm.models import load  # noqa: E402
from medslm.models.base import resolve  # noqa: E402
from medslm.models.lora import loras  # noqa: E402
from medslm.train import planning, supervised  # noqa: E402
from medslm.train.progress import Guard  # noqa: E402

BATCHES, ROUNDS = 6, 2


def main() -> None:
    """Print a line for each loss: median seconds a step, loss, and the ratio at the end."""
    if load.device() != "cpu":
        raise SystemExit("this compares what happens on a CPU; hide the GPU with CUDA_VISIBLE_DEVICES=")
    recipe = dataclasses.replace(RECIPE, mixture={"icd10cm": 0.02})
    model = load.with_new_adapter(load.model(resolve(recipe.base)), loras[recipe.lora])
    with tempfile.TemporaryDirectory() as folder:
        trainer = supervised.trainer(planning.plan(recipe, Path(folder)), model, [], Guard(0.0))
    supervised.use_all_cores(1)
    model.train()
    batches = [batch for batch, _ in zip(trainer.get_train_dataloader(), range(BATCHES))]
    kinds = {"TRL's": supervised.SFTTrainer, "ours": supervised.CompletionTrainer}
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    losses: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, kind in kinds.items():
            for batch in batches:
                started = time.perf_counter()
                with trainer.compute_loss_context_manager():
                    tokens = (batch["labels"] != -100).sum()
                    loss = kind.compute_loss(trainer, model, dict(batch), num_items_in_batch=tokens)
                loss.backward()
                model.zero_grad()
                seconds[name].append(time.perf_counter() - started)
                losses[name] = float(loss.detach())
    for name, measured in seconds.items():
        print(f"{name:<6} {statistics.median(measured):6.2f} s a step   loss {losses[name]:.5f}")
    ratio = statistics.median(seconds["TRL's"]) / statistics.median(seconds["ours"])
    print(f"ours is {ratio:.2f} times as fast, on {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
