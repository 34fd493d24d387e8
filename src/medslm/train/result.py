"""What a finished run leaves: the adapter, the curve and the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medslm import files
from medslm.models.base import resolve
from medslm.train import curve, record
from medslm.train.planning import Plan, say

if TYPE_CHECKING:
    from peft import PeftModel

    from medslm.train.supervised import CompletionTrainer


def save_adapter(planned: Plan, model: PeftModel) -> None:
    """The best adapter and its tokenizer, with the base under its Hub id and not under a path of this machine."""
    model.peft_config["default"].base_model_name_or_path = resolve(planned.recipe.base).hub_id
    with files.beside(planned.folder / "adapter") as temporary:
        model.save_pretrained(str(temporary), save_embedding_layers=False)  # LoRA leaves them alone
        planned.tokenizer.save_pretrained(str(temporary))
        files.remove(temporary / "README.md")  # PEFT's own card; ours is made from measured numbers


def finish(planned: Plan, fitted: CompletionTrainer, seconds: float, known: dict[str, Any]) -> None:
    """Draw the curve, write `run.json`, and say what came out and what to do next."""
    state, folder, done = fitted.state, planned.folder, fitted.pace.done
    wanted = ("step", "loss", "eval_loss", "learning_rate", "grad_norm")
    history = [{name: entry[name] for name in wanted if name in entry} for entry in state.log_history]
    points = [point for point in history if "loss" in point or "eval_loss" in point]
    best_step = int(state.best_model_checkpoint.rsplit("-", 1)[1]) if state.best_model_checkpoint else None
    result = {
        "steps": state.global_step,
        "examples": examples(state.global_step, len(planned.rows.train), planned.recipe.global_batch_size),
        "tokens": state.num_input_tokens_seen,
        "seconds": round(seconds, 1),
        "tokens_per_second": round(state.num_input_tokens_seen / seconds, 1),
        "passes": done.passes,
        "tokens_per_pass": fitted.pace.tokens_per_pass or None,
        "fill": round(done.tokens / done.room, 4),
        "peak_memory_gib": record.peak_memory_gib(),
        **_losses(points),
        "best_step": best_step,
    }
    curve.draw(points, best_step, planned.recipe.name, folder / "loss.png")
    trainable = fitted.model.num_parameters(only_trainable=True)
    known["base"]["parameters"] = fitted.model.num_parameters() - trainable
    known["speed"]["backed_off"] = done.backed_off
    adapter = files.sha256(folder / "adapter" / "adapter_model.safetensors")
    measured = {"trainable_parameters": trainable, "adapter_sha256": adapter, "train": result, "curve": points}
    files.write_json(folder / "run.json", known | {"status": "finished"} | measured)
    say(
        f"{result['steps']} steps, {result['tokens']:,} tokens in {seconds:.0f} s; validation loss "
        f"{result['first_eval_loss']:.3f} -> {result['best_eval_loss']:.3f}; curve in {folder / 'loss.png'}\n"
        f"Next: make eval NAME={planned.recipe.name}"
    )


def _losses(points: list[dict[str, Any]]) -> dict[str, float]:
    losses, judged = curve.points(points, "loss")[1], curve.points(points, "eval_loss")[1]
    return {
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "first_eval_loss": judged[0],
        "best_eval_loss": min(judged),
    }


def examples(steps: int, of_epoch: int, global_batch_size: int) -> int:
    """Examples that were learnt from in `steps`; the last step of an epoch takes what is left."""
    epochs, rest = divmod(steps, -(-of_epoch // global_batch_size))
    return epochs * of_epoch + min(rest * global_batch_size, of_epoch)
