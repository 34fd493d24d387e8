"""What a finished run leaves beside its weights: the curve and the record."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from transformers import TrainerState

from medslm import files
from medslm.train import curve, record
from medslm.train.pace import Done
from medslm.train.planning import Plan, say


@dataclass(frozen=True)
class Size:
    """Parameters."""

    base: int
    """Of the base."""

    trainable: int
    """Those that learnt: an adapter's, which are none of the base's, or all of the base's."""

    @classmethod
    def of(cls, model: Any, whole: bool) -> Size:
        """Of a transformers or PEFT model in training; `whole` if all of its weights learn."""
        trainable = model.num_parameters(only_trainable=True)
        return cls(model.num_parameters() - (0 if whole else trainable), trainable)


@dataclass(frozen=True)
class Fitted:
    """What is known when a trainer is done."""

    state: TrainerState
    done: Done
    tokens_per_pass: int
    """0 is one example in each."""

    size: Size
    weights: str
    """Where the learnt weights lie in the run's folder."""


def finish(planned: Plan, fitted: Fitted, seconds: float, known: dict[str, Any]) -> None:
    """Draw the curve, write `run.json`, and say what came out and what to do next."""
    state, folder, done = fitted.state, planned.folder, fitted.done
    wanted = ("step", "loss", "eval_loss", "learning_rate", "grad_norm")
    # a norm that float16 could not hold, at a step that was skipped, is left out; a loss like that has ended the run
    history = [
        {name: entry[name] for name in wanted if math.isfinite(entry.get(name, math.inf))}
        for entry in state.log_history
    ]
    points = once(point for point in history if "loss" in point or "eval_loss" in point)
    best_step = int(state.best_model_checkpoint.rsplit("-", 1)[1]) if state.best_model_checkpoint else None
    result = {
        "steps": state.global_step,
        "examples": examples(state.global_step, len(planned.rows.train), planned.recipe.global_batch_size),
        "tokens": state.num_input_tokens_seen,
        "seconds": round(seconds, 1),
        "tokens_per_second": round(state.num_input_tokens_seen / seconds, 1),
        "passes": done.passes,
        "tokens_per_pass": fitted.tokens_per_pass or None,
        "fill": round(done.tokens / done.room, 4),
        "peak_memory_gib": record.peak_memory_gib(),
        **losses(points, best_step),
        "best_step": best_step,
    }
    curve.draw(points, best_step, planned.recipe.name, folder / "loss.png")
    known["base"]["parameters"] = fitted.size.base
    known["speed"]["backed_off"] = done.backed_off
    measured = {
        "trainable_parameters": fitted.size.trainable,
        "weights": fitted.weights,
        "adapter_sha256": files.sha256(folder / fitted.weights),  # of whichever weights were trained
        "train": result,
        "curve": points,
    }
    files.write_json(folder / "run.json", known | {"status": "finished"} | measured)
    say(
        f"{result['steps']} steps, {result['tokens']:,} tokens in {seconds:.0f} s; validation loss "
        f"{result['first_eval_loss']:.3f} -> {result['best_eval_loss']:.3f}; curve in {folder / 'loss.png'}\n"
        f"Next: make eval NAME={planned.recipe.name}"
    )


def once(points: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each point of a curve once: a run that goes on is judged again where it was when its last checkpoint was saved."""
    first: dict[tuple[Any, bool], dict[str, Any]] = {}
    for point in points:
        first.setdefault((point["step"], "eval_loss" in point), point)
    return list(first.values())


def losses(points: list[dict[str, Any]], best_step: int | None) -> dict[str, float]:
    """First and last training loss of a curve, its first validation loss and that of the weights that were kept.

    The first is of the untrained weights, which no checkpoint holds: a run that only made them worse says so.
    """
    learnt = curve.points(points, "loss")[1]
    steps, judged = curve.points(points, "eval_loss")
    kept = judged[steps.index(best_step)] if best_step in steps else judged[-1]
    return {
        "first_loss": learnt[0],
        "last_loss": learnt[-1],
        "first_eval_loss": judged[0],
        "best_eval_loss": kept,
    }


def examples(steps: int, of_epoch: int, global_batch_size: int) -> int:
    """Examples that were learnt from in `steps`; the last step of an epoch takes what is left."""
    epochs, rest = divmod(steps, -(-of_epoch // global_batch_size))
    return epochs * of_epoch + min(rest * global_batch_size, of_epoch)
