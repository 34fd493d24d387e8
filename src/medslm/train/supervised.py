"""Supervised fine-tuning with TRL and PEFT; the only file that knows TRL."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState
from transformers import ProgressCallback, set_seed
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from medslm import environment, files
from medslm.errors import MedslmError
from medslm.models import load
from medslm.models.base import resolve
from medslm.models.lora import loras
from medslm.recipe import Sft
from medslm.train import checkpoint, curve, record, tracking
from medslm.train.planning import Plan, describe, identity, plan, say
from medslm.train.progress import Bar, Guard

if TYPE_CHECKING:
    from peft import PeftModel


def train(recipe: Sft, folder: Path) -> None:
    """Train the recipe into `folder`: a new run, or the rest of one that was interrupted.

    Leaves `adapter/`, `run.json`, `loss.png` and `checkpoints/`. Raises `MedslmError` for bad input, a folder that
    holds another recipe's run, too little disk or memory, and a loss that is no number.
    """
    planned = plan(recipe, folder)
    earlier = record.started(folder)
    if earlier is not None:
        record.refuse_another(folder, earlier, planned.fingerprint)
        if earlier["status"] == "finished":
            say(f"{folder} is finished already; remove it to train again. Next: make eval NAME={recipe.name}")
            return
    describe(planned)
    set_seed(recipe.seed)  # TRL seeds too, but later: the adapter's matrices would differ from run to run
    model = load.with_new_adapter(
        load.model(resolve(recipe.base), recipe.quantization, recipe.dtype),
        loras[recipe.lora],
        recipe.gradient_checkpointing,
    )
    checkpoint.require_space(folder, model.num_parameters(only_trainable=True))
    known = identity(planned)
    if PartialState().is_main_process:
        files.write_json(folder / "run.json", known | {"status": "running"})
    _fit(planned, model, known)


def config(recipe: Sft, folder: Path, world_size: int, report_to: list[str]) -> SFTConfig:
    """TRL's configuration: each of its defaults that would hurt here is named."""
    on_cpu, chosen = load.device() == "cpu", load.dtype(recipe.dtype)
    return SFTConfig(
        output_dir=str(folder / "checkpoints"),
        run_name=recipe.name,
        per_device_train_batch_size=recipe.per_device_train_batch_size,
        per_device_eval_batch_size=recipe.per_device_train_batch_size,
        gradient_accumulation_steps=recipe.accumulation_steps(world_size),
        num_train_epochs=recipe.num_train_epochs,
        max_steps=recipe.max_steps,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.lr_scheduler_type,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        **_checkpointing(recipe.gradient_checkpointing),  # True in TRL
        max_length=None,  # no row is longer than the recipe's: rows.build dropped and counted them
        dataset_kwargs={"skip_prepare_dataset": True},  # rows come with their labels; TRL reads them as they are
        shuffle_dataset=False,
        packing=False,
        train_sampling_strategy="group_by_length",  # less padding
        seed=recipe.seed,
        use_cpu=on_cpu,
        bf16=chosen == torch.bfloat16,  # True in TRL, which then refuses a CPU
        fp16=chosen == torch.float16,
        dataloader_pin_memory=not on_cpu,
        logging_steps=recipe.logging_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # or a loss of NaN is shown as the mean of the others
        include_num_input_tokens_seen="non_padding",
        eval_strategy="steps",
        eval_steps=recipe.eval_steps,
        eval_on_start=True,
        save_strategy="steps",
        save_steps=recipe.eval_steps,
        save_total_limit=2,  # the best and the last
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        report_to=report_to,
        push_to_hub=False,  # publishing is never a side effect of training
    )


def _checkpointing(wanted: bool) -> dict[str, Any]:
    """Activation checkpointing under the name that this transformers has for it (renamed in 5.20)."""
    names = {field.name for field in fields(SFTConfig)}
    name = "activation_checkpointing" if "activation_checkpointing" in names else "gradient_checkpointing"
    return {name: wanted, f"{name}_kwargs": {"use_reentrant": False}}


class CompletionTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer, which on a CPU multiplies only the positions that carry loss with the output head.

    TRL 1.16 does so where there is Triton; elsewhere it scores every position, entropy and all, which for a vocabulary of
    49,152 made a whole step 1.5 times as long (`benchmarks/completion_loss.py`).
    """

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Mean negative log-likelihood per completion token of the global batch, in nats."""
        if self.args.device.type != "cpu":
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs["labels"]  # (B, T), -100 where nothing is learned
        carries = (labels != -100).any(dim=0).nonzero()
        first, end = int(carries.min()), int(carries.max())
        keep = torch.arange(first - 1, end)  # position t predicts token t + 1
        outputs = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            use_cache=False,
            logits_to_keep=keep,
        )  # logits: (B, end - first + 1, V)
        targets = labels[:, first : end + 1]
        total = torch.nn.functional.cross_entropy(
            outputs.logits.float().flatten(0, 1), targets.flatten(), reduction="sum"
        )
        if num_items_in_batch is None:
            loss = total / (targets != -100).sum()
        else:  # counted over all processes, whose gradients are then averaged
            loss = total / num_items_in_batch * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss


def trainer(planned: Plan, model: PeftModel, report_to: list[str], guard: Guard) -> CompletionTrainer:
    """TRL's trainer over our rows, with our progress bar. Raises `MedslmError` if TRL made other rows of them."""
    built = CompletionTrainer(
        model=model,
        args=config(planned.recipe, planned.folder, planned.world_size, report_to),
        train_dataset=planned.rows.train,
        eval_dataset=planned.rows.validation,
        processing_class=planned.tokenizer,
    )
    for wanted, got in ((planned.rows.train, built.train_dataset), (planned.rows.validation, built.eval_dataset)):
        if got is not wanted:
            raise MedslmError(
                "TRL has changed the rows it was given; this version is not supported: see constraints.txt"
            )
    for callback in (ProgressCallback, PrinterCallback):
        built.remove_callback(callback)
    built.add_callback(Bar())
    built.add_callback(guard)
    return built


def _fit(planned: Plan, model: PeftModel, known: dict[str, Any]) -> None:
    recipe, folder = planned.recipe, planned.folder
    use_all_cores(planned.world_size)
    newest = checkpoint.last(folder / "checkpoints")
    guard = Guard(checkpoint.seconds(newest))
    report_to, line = tracking.configure(folder, planned.fingerprint.digest[:16])
    say(line)
    if newest:
        say(f"going on from {newest.name}")
    fitting = trainer(planned, model, report_to, guard)
    try:
        fitting.train(resume_from_checkpoint=str(newest) if newest else None)
    except torch.OutOfMemoryError as error:
        raise MedslmError(
            f"the GPU's memory does not suffice for {recipe.per_device_train_batch_size} examples at once; halve "
            "per_device_train_batch_size (global_batch_size holds: accumulation makes up for it), or set "
            "gradient_checkpointing"
        ) from error
    PartialState().wait_for_everyone()
    if PartialState().is_main_process:
        save_adapter(planned, model)
        _finish(planned, fitting, guard.seconds, known)


def use_all_cores(world_size: int) -> None:
    """On a CPU, share the cores among the processes; accelerate would leave one thread to each."""
    if load.device() == "cpu":
        torch.set_num_threads(max(1, environment.cpus() // world_size))


def save_adapter(planned: Plan, model: PeftModel) -> None:
    """The best adapter and its tokenizer, with the base under its Hub id and not under a path of this machine."""
    model.peft_config["default"].base_model_name_or_path = resolve(planned.recipe.base).hub_id
    with files.beside(planned.folder / "adapter") as temporary:
        model.save_pretrained(str(temporary), save_embedding_layers=False)  # LoRA leaves them alone
        planned.tokenizer.save_pretrained(str(temporary))
        files.remove(temporary / "README.md")  # PEFT's own card; ours is made from measured numbers


def _finish(planned: Plan, fitted: SFTTrainer, seconds: float, known: dict[str, Any]) -> None:
    state, folder = fitted.state, planned.folder
    wanted = ("step", "loss", "eval_loss", "learning_rate", "grad_norm")
    history = [{name: entry[name] for name in wanted if name in entry} for entry in state.log_history]
    points = [point for point in history if "loss" in point or "eval_loss" in point]
    losses, judged = curve.points(points, "loss")[1], curve.points(points, "eval_loss")[1]
    best_step = int(state.best_model_checkpoint.rsplit("-", 1)[1]) if state.best_model_checkpoint else None
    result = {
        "steps": state.global_step,
        "examples": state.global_step * planned.recipe.global_batch_size,
        "tokens": int(state.num_input_tokens_seen),
        "seconds": round(seconds, 1),
        "tokens_per_second": round(state.num_input_tokens_seen / seconds, 1),
        "peak_memory_gib": record.peak_memory_gib(),
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "first_eval_loss": judged[0],
        "best_eval_loss": min(judged),
        "best_step": best_step,
    }
    curve.draw(points, best_step, planned.recipe.name, folder / "loss.png")
    trainable = fitted.model.num_parameters(only_trainable=True)
    known["base"]["parameters"] = fitted.model.num_parameters() - trainable
    adapter = files.sha256(folder / "adapter" / "adapter_model.safetensors")
    measured = {"trainable_parameters": trainable, "adapter_sha256": adapter, "train": result, "curve": points}
    files.write_json(folder / "run.json", known | {"status": "finished"} | measured)
    say(
        f"{result['steps']} steps, {result['tokens']:,} tokens in {seconds:.0f} s; validation loss "
        f"{result['first_eval_loss']:.3f} -> {result['best_eval_loss']:.3f}; curve in {folder / 'loss.png'}\n"
        f"Next: make eval NAME={planned.recipe.name}"
    )
