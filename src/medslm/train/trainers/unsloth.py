"""Unsloth as a trainer: its model and its patched TRL trainer, on our rows, with our masks, steps and record.

Import `trainers.early` first: Unsloth replaces parts of transformers, TRL and PEFT and has to come before them. What is
its own: how examples are laid out in a pass, their order in an epoch, the kernels and the memory.
https://github.com/unslothai/unsloth (Apache-2.0), 2026.10.7
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import ProgressCallback
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import EvalLoopOutput

from medslm import files
from medslm.errors import MedslmError
from medslm.models import load, unsloth
from medslm.models.base import resolve
from medslm.models.lora import loras
from medslm.models.passes import IGNORED, lay
from medslm.train import checkpoint, result, tracking
from medslm.train.batches import Documents
from medslm.train.execution import Execution
from medslm.train.pace import Done
from medslm.train.planning import Plan, say
from medslm.train.progress import Bar, Guard, Logged
from medslm.train.result import Fitted, Size
from medslm.train.trainers import adapter
from medslm.train.trainers.options import options

if TYPE_CHECKING:
    import datasets

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
"""The layers that Unsloth has kernels for, which is what `all-linear` means in a decoder of this kind."""

TOKENS = 8192
"""Of one forward and backward pass, if every example were the longest."""


def fit(planned: Plan, chosen: Execution, newest: Path | None, known: dict[str, Any]) -> None:
    """Train and leave `adapter/`, `loss.png` and `run.json`, as `supervised.train` does.

    Raises `MedslmError` for more processes than one, and if the memory does not suffice.
    """
    if planned.world_size > 1:
        raise MedslmError(f"trainer=unsloth runs on one process, and {planned.world_size} were started; start one")
    model = build(planned, chosen)
    checkpoint.require_space(planned.folder, model.num_parameters(only_trainable=True))
    rows = rows_a_pass(planned.recipe.global_batch_size, chosen.longest)
    known["speed"]["paths"] = {"model": "Unsloth's", "batches": f"Unsloth's, of {rows} examples"}
    files.write_json(planned.folder / "run.json", known | {"status": "running"})
    done = checkpoint.done(newest)
    guard = Guard(checkpoint.seconds(newest), done)
    report_to, line = tracking.configure(planned.folder, planned.fingerprint.digest[:16])
    say(line)
    if newest:
        say(f"going on from {newest.name}")
    with tracking.Curves(report_to, planned.recipe.name, planned.recipe.as_dict()) as curves:
        known["tracking"] = curves.told
        fitting = trainer(planned, chosen, model, rows, done)
        for callback in (guard, Logged(curves)):
            fitting.add_callback(callback)
        try:
            fitting.train(resume_from_checkpoint=str(newest) if newest else None)
        except torch.OutOfMemoryError as error:
            raise MedslmError(
                f"the GPU's memory does not suffice for Unsloth's passes of {rows} examples of up to {chosen.longest} "
                "tokens; lower max_length, choose recompute=all, quantization=nf4 or a smaller base, or trainer=peft, "
                "which plans"
            ) from error
    adapter.save(planned, model)
    size = Size.of(model, whole=False)
    fitted = Fitted(fitting.state, done, rows * chosen.longest, size, adapter.Adapter.weights)
    result.finish(planned, fitted, guard.seconds, known)


def rows_a_pass(share: int, longest: int) -> int:
    """Examples of a pass: a divisor of a step's, as many as have room in `TOKENS`, and one at least."""
    fitting = [rows for rows in range(1, share + 1) if share % rows == 0 and rows * longest <= TOKENS]
    return max(fitting, default=1)


def build(planned: Plan, chosen: Execution) -> Any:
    """Unsloth's model with a fresh adapter."""
    from unsloth import FastLanguageModel

    recipe, lora = planned.recipe, loras[planned.recipe.lora]
    checkpointing = False if recipe.recompute == "none" else "unsloth"
    model = unsloth.loaded(
        resolve(recipe.base),
        recipe.dtype,
        recipe.quantization,
        chosen.longest,
        use_gradient_checkpointing=checkpointing,
        random_state=recipe.seed,
    )
    targets = LINEAR if lora.target_modules == "all-linear" else lora.target_modules
    return FastLanguageModel.get_peft_model(
        model,
        r=lora.r,
        target_modules=targets if isinstance(targets, str) else list(targets),
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        bias="none",
        use_gradient_checkpointing=checkpointing,
        random_state=recipe.seed,
        use_rslora=lora.use_rslora,
    )


def trainer(planned: Plan, chosen: Execution, model: Any, rows: int, done: Done) -> Any:
    """Unsloth's trainer over our rows, which notes in `done` what it computes."""
    from unsloth import UnslothTrainer, UnslothTrainingArguments

    recipe, dtype = planned.recipe, load.dtype(planned.recipe.dtype)
    told = UnslothTrainingArguments(
        **options(planned, chosen.optim),
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=recipe.global_batch_size // rows,
        gradient_checkpointing=recipe.recompute != "none",
        max_length=chosen.longest,
        completion_only_loss=True,  # the mask says what carries loss
        packing=False,  # a pack counts as one example to TRL, so that a step would hold another number of them
        bf16=dtype == torch.bfloat16,
    )
    counting = _counting(UnslothTrainer, planned.rows.validation, done)
    built = counting(
        model=model,
        args=told,
        train_dataset=masked(planned.rows.train),
        eval_dataset=masked(planned.rows.validation),
        processing_class=planned.tokenizer,
    )
    for callback in (ProgressCallback, PrinterCallback):
        built.remove_callback(callback)
    built.add_callback(Bar())
    return built


def masked(rows: datasets.Dataset) -> datasets.Dataset:
    """Rows as TRL takes them when they are tokenised: `input_ids`, and a `completion_mask` of what carries loss."""
    wanted = rows.select_columns(["input_ids", "labels"])
    return wanted.map(
        lambda row: {"completion_mask": [int(label != IGNORED) for label in row["labels"]]}, remove_columns=["labels"]
    )


def tokens(inputs: Any) -> int:
    """Tokens of a batch that are no padding."""
    if "packed_seq_lengths" in inputs:  # Unsloth lays examples side by side
        return int(inputs["packed_seq_lengths"].sum())
    mask = inputs.get("attention_mask")
    return inputs["input_ids"].numel() if mask is None else int(mask.sum())


def _counting(of: Any, validation: datasets.Dataset, done: Done) -> Any:
    """Unsloth's trainer, which counts tokens, and judges the validation rows as `supervised` does."""

    class Counting(of):  # type: ignore[misc]
        def training_step(self, model: Any, inputs: Any, *rest: Any, **given: Any) -> torch.Tensor:
            """As Unsloth's."""
            seen = tokens(inputs)
            done.passes, done.tokens = done.passes + 1, done.tokens + seen
            done.room += inputs["input_ids"].numel()
            self.state.num_input_tokens_seen += seen
            loss: torch.Tensor = super().training_step(model, inputs, *rest, **given)
            return loss

        @torch.no_grad()
        def evaluation_loop(
            self, dataloader: Any, description: str, *rest: Any, metric_key_prefix: str = "eval", **given: Any
        ) -> EvalLoopOutput:
            """The mean loss per completion token of all validation rows; transformers' is a mean of batches' means."""
            self.model.eval()
            total, predicted = 0.0, 0
            for ids, labels in Documents(validation).__getitems__(range(len(validation))):
                number = len(lay([(ids, labels)]).targets)
                row = {"input_ids": torch.as_tensor(ids)[None], "labels": torch.as_tensor(labels)[None]}
                with self.accelerator.autocast():
                    mean = self.model(**{name: value.long().to(self.args.device) for name, value in row.items()}).loss
                total, predicted = total + float(mean) * number, predicted + number
            loss = total / max(1, predicted)
            return EvalLoopOutput(None, None, {f"{metric_key_prefix}_loss": loss}, len(validation))

    return Counting
