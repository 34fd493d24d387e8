"""Supervised fine-tuning with TRL and PEFT; the only file that knows TRL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import ProgressCallback, set_seed
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import EvalLoopOutput
from trl import SFTConfig, SFTTrainer

from medslm import environment, files
from medslm.errors import MedslmError
from medslm.models import fast, load
from medslm.models.passes import Pass
from medslm.recipe import Sft
from medslm.train import batches, checkpoint, execution, planning, record, result, tracking
from medslm.train.execution import Execution
from medslm.train.pace import Pace, out_of_memory
from medslm.train.planning import Plan, say
from medslm.train.progress import Bar, Guard, Logged
from medslm.train.result import Fitted, Size
from medslm.train.trainers import chosen as trainers
from medslm.train.trainers.kind import Kind
from medslm.train.trainers.options import options

TotalLoss = Callable[[Any, Pass], torch.Tensor]
"""Of a model and a pass: the sum of the negative log-likelihood in nats. ()"""


def train(recipe: Sft, folder: Path) -> None:
    """Train the recipe into `folder`: a new run, or the rest of one that was interrupted.

    Leaves `adapter/` (`model/` if all weights learn), `run.json`, `loss.png` and `checkpoints/`. Raises `MedslmError` for
    bad input, a folder that holds another recipe's run, too little disk or memory, and a loss that is no number.
    """
    earlier = record.started(folder)
    finished = earlier is not None and earlier["status"] == "finished"
    if not finished:
        execution.require(recipe)  # before the rows, which may take long
    planned = planning.plan(recipe, folder)
    if earlier is not None:
        record.refuse_another(folder, earlier, planned.fingerprint)
    if finished:
        say(f"{folder} is finished already; remove it to train again. Next: make eval NAME={recipe.name}")
        return
    newest = checkpoint.last(folder / "checkpoints")
    if newest:
        checkpoint.require_best(newest.parent, checkpoint.best_step(newest))
    chosen = planning.choose(planned, earlier["speed"]["optim"] if earlier and newest else None)
    planning.describe(planned, chosen)
    set_seed(recipe.seed)  # TRL seeds too, but later: the adapter's matrices would differ from run to run
    known = record.identity(planned) | {"speed": chosen.as_dict()}
    if recipe.trainer == "unsloth":
        from medslm.train.trainers.unsloth import fit

        fit(planned, chosen, newest, known)
        return
    kind = trainers.of(recipe)
    model = kind.build(planned, newest)
    checkpoint.require_space(folder, model.num_parameters(only_trainable=True))
    known["speed"]["paths"] = quicken(recipe, chosen, model, kind)
    if PartialState().is_main_process:
        files.write_json(folder / "run.json", known | {"status": "running"})
    _fit(planned, chosen, model, kind, newest, known)


def quicken(recipe: Sft, chosen: Execution, model: Any, kind: Kind | None = None) -> dict[str, str]:
    """Switch on how the model is computed, prove that packed documents do not see each other, and say what is used."""
    paths = (kind or trainers.of(recipe)).quicken(recipe, chosen, model)
    say("fast paths: " + "; ".join(f"{name}: {path}" for name, path in paths.items()))
    return paths


def config(planned: Plan, optim: str) -> SFTConfig:
    """TRL's configuration: each of its defaults that would hurt here is named."""
    return SFTConfig(
        **options(planned, optim),
        per_device_train_batch_size=planned.recipe.share(planned.world_size),
        gradient_accumulation_steps=1,  # a batch is a whole step
        **_no_checkpointing(),  # True in TRL; `fast.quicken` has its own
        max_length=None,  # no row is longer than the recipe's: rows.build dropped and counted them
        dataset_kwargs={"skip_prepare_dataset": True},  # rows come with their labels
        shuffle_dataset=False,
        packing=False,  # ours is `batches`
        bf16=False,  # True in TRL; the passes choose their own type, and autocast would cast once more
    )


def _no_checkpointing() -> dict[str, bool]:
    """Activation checkpointing under the name that this transformers has for it (renamed in 5.20)."""
    names = {field.name for field in fields(SFTConfig)}
    return {"activation_checkpointing" if "activation_checkpointing" in names else "gradient_checkpointing": False}


class CompletionTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer, for which a batch is one process's share of an optimiser step, laid out in passes.

    The loss is the mean negative log-likelihood per completion token of the global batch, in nats, however many
    processes share it and however its documents are laid out.
    """

    def __init__(self, *, pace: Pace, global_batch_size: int, total_loss: TotalLoss, **given: Any) -> None:
        super().__init__(**given)
        self.pace = pace
        self._total_loss = total_loss
        self._global_batch_size = global_batch_size
        self._layout = batches.Layout(
            pace.tokens_per_pass,
            self.args.process_index,
            self.args.world_size,
            self.args.device if self.args.device.type == "cuda" else None,
        )
        self._ahead: batches.Ahead[batches.Batch] | None = None
        self._judging: tuple[int, batches.Loader] | None = None

    def train(self, *arguments: Any, **options: Any) -> Any:
        """As TRL's; no thread outlives it. Raises `MedslmError` if the memory does not suffice between the passes."""
        try:
            return super().train(*arguments, **options)
        except (RuntimeError, MemoryError) as error:  # `pace` has tried everything within them
            if not out_of_memory(error):
                raise
            raise MedslmError(
                f"the memory does not suffice for the step of {self.args.optim.value} after the passes, and smaller passes "
                "would not help; close other programs, or choose optim=paged_adamw_8bit, a LoRA preset of lower "
                "rank, quantization=nf4 or a smaller base"
            ) from error
        finally:
            if self._ahead is not None:
                self._ahead.close()

    def get_train_dataloader(self) -> batches.Loader:
        """Not prepared by accelerate, which would share out once more what is shared out already."""
        return batches.training(self.train_dataset, self._global_batch_size, self.args.seed, self._layout)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> batches.Loader:
        """A batch for each pass over the validation rows; which documents share one is decided once."""
        size = self.pace.tokens_per_pass
        if self._judging is None or self._judging[0] != size:
            layout = replace(self._layout, tokens_per_pass=size)
            rows = self.eval_dataset
            self._judging = (size, batches.validation(rows, batches.lengths(rows), layout))
        return self._judging[1]

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[batches.Batch], None]:
        """The next batch, which was laid out while the one before was computed; none if the last step is done.

        A run that was interrupted behind its last checkpoint would else learn from one batch more, which `Trainer` counts
        only afterwards.
        """
        if self.state.global_step >= self.state.max_steps:
            return [], None
        if self._ahead is None or self._ahead.source is not epoch_iterator:
            self._ahead = batches.Ahead(epoch_iterator)
        found = next(self._ahead, None)
        return ([] if found is None else [found]), None

    def training_step(self, model: Any, inputs: batches.Batch, num_items_in_batch: Any = None) -> torch.Tensor:
        """Forward and backward over all passes; gradients are added up over the processes once, at the end."""
        self.model.train()
        with self.accelerator.no_sync(model):
            loss = self.pace.compute(inputs, self._learn, self._forget)
        self._layout.tokens_per_pass = self.pace.tokens_per_pass
        self.state.num_input_tokens_seen += inputs.tokens
        return self._over_processes(loss)

    def _learn(self, batch: batches.Batch) -> torch.Tensor:
        """This process's part of the loss, with its part of the gradients left at the parameters. ()"""
        total = torch.zeros((), device=self.args.device)
        for one in batch.passes:
            loss = self._total_loss(self.model, one.to(self.args.device)) / max(1, batch.predicted)
            self.accelerator.backward(loss)
            total += loss.detach()
        self.pace.count(batch)
        return total

    def log(self, logs: dict[str, float], *rest: Any) -> None:
        """As TRL's, with the GPU's memory beside: the most so far, in GiB. On a CPU there is none to tell."""
        super().log(logs | record.gpu_memory(), *rest)

    def _forget(self) -> None:
        self.model.zero_grad(set_to_none=True)

    def _over_processes(self, loss: torch.Tensor) -> torch.Tensor:
        """The sum of all processes' parts of the loss, and of the gradients as well, in one exchange."""
        if self.args.world_size == 1:
            return loss
        learnt = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        parts = [p.new_zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in learnt]
        everything = torch.cat([loss[None], *parts])
        torch.distributed.all_reduce(everything)
        summed = torch.split(everything[1:], [parameter.numel() for parameter in learnt])
        for parameter, gradient in zip(learnt, summed):
            parameter.grad = gradient.view_as(parameter)
        return everything[0]

    def evaluation_loop(
        self,
        dataloader: batches.Loader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """The mean loss per completion token of all validation rows, exactly."""
        self.model.eval()
        self.callback_handler.eval_dataloader = dataloader
        total, tokens = torch.zeros((), dtype=torch.float64, device=self.args.device), 0
        for batch in batches.Ahead(iter(dataloader)):
            total += self.pace.compute(batch, self._judge, self._forget)
            tokens += batch.predicted
            self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)  # type: ignore[has-type]
        sums = torch.stack([total, total.new_tensor(tokens)])
        if self.args.world_size > 1:
            torch.distributed.all_reduce(sums)
        loss = (sums[0] / sums[1].clamp(min=1)).item()
        return EvalLoopOutput(None, None, {f"{metric_key_prefix}_loss": loss}, len(self.eval_dataset))

    @torch.no_grad()
    def _judge(self, batch: batches.Batch) -> torch.Tensor:
        """Sum of the negative log-likelihood of the batch, in nats. ()"""
        parts = [self._total_loss(self.model, one.to(self.args.device)) for one in batch.passes]
        return torch.stack(parts).sum()

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """As TRL's. Raises `MedslmError` if the disk does not take it, and leaves no part of it there."""
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        with checkpoint.whole_or_absent(folder):
            super()._save_checkpoint(model, trial)

    def _load_best_model(self) -> None:
        """As transformers', which would keep the last weights, and warn, where the best are gone."""
        checkpoint.require_best(Path(self.args.output_dir), self.state.best_global_step)
        super()._load_best_model()

    def floating_point_ops(self, inputs: Any) -> int:
        """Not kept: transformers' estimate walks over all parameters in each step."""
        return 0


def trainer(
    planned: Plan, optim: str, pace: Pace, guard: Guard, more: Sequence[Any], total_loss: TotalLoss = fast.total_loss
) -> CompletionTrainer:
    """TRL's trainer over our rows, with our bar and `more` callbacks. Raises `MedslmError` if TRL changed these rows."""
    built = CompletionTrainer(
        pace=pace,
        total_loss=total_loss,
        global_batch_size=planned.recipe.global_batch_size,
        model=pace.model,
        args=config(planned, optim),
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
    for callback in (Bar(), guard, *more):
        built.add_callback(callback)
    return built


def _fit(planned: Plan, chosen: Execution, model: Any, kind: Kind, newest: Path | None, known: dict[str, Any]) -> None:
    use_all_cores(planned.world_size)
    pace = Pace.of(model, chosen, checkpoint.done(newest))
    guard = Guard(checkpoint.seconds(newest), pace.done)
    report_to, line = tracking.configure(planned.folder, planned.fingerprint.digest[:16])
    say(line)
    if newest:
        say(f"going on from {newest.name}")
    settings = planned.recipe.as_dict()
    with tracking.Curves(report_to, planned.recipe.name, settings, PartialState().is_main_process) as curves:
        known["tracking"] = curves.told
        fitting = trainer(planned, chosen.optim, pace, guard, [Logged(curves)], kind.total_loss)
        fitting.train(resume_from_checkpoint=str(newest) if newest else None)
    PartialState().wait_for_everyone()
    if PartialState().is_main_process:
        size = Size.of(model, whole=planned.recipe.trainer == "full")
        fitted = Fitted(fitting.state, pace.done, pace.tokens_per_pass, size, kind.weights)
        with checkpoint.writing(planned.folder / kind.weights):
            kind.save(planned, model)
        result.finish(planned, fitted, guard.seconds, known)


def use_all_cores(world_size: int) -> None:
    """On a CPU, share the cores among the processes; accelerate would leave one thread to each."""
    if load.device() == "cpu":
        torch.set_num_threads(max(1, environment.cpus() // world_size))
