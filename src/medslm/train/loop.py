"""The steps of a run in which all weights learn: forward, backward, AdamW, evaluation, checkpoint; and the way back in.

A loop of our own and not transformers' Trainer: a step is decided by its number alone (rows, dropout, learning rate), so a
resumed run is the same run; the logits are never held; and the GPU is asked for nothing between two points of the curve.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import torch
from accelerate import PartialState
from safetensors.torch import load_model, save_model
from tqdm import tqdm
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from medslm import files
from medslm.errors import MedslmError
from medslm.models import load
from medslm.models.passes import IGNORED
from medslm.recipe import Pretrain
from medslm.train import blocks, checkpoint
from medslm.train.batches import Ahead, Document
from medslm.train.blocks import Block, Source, Step
from medslm.train.whole_head import LinearCrossEntropy

ATTENTION = "medslm-causal"
COMPILED_FROM = 20
"""Steps from which compiling pays: it takes about as long as that many."""


@dataclass
class Progress:
    """What is kept with a checkpoint beside weights and moments."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)
    best_step: int | None = None
    best_loss: float = math.inf


def rate(recipe: Pretrain, step: int, steps: int) -> float:
    """The learning rate of step number `step`, from 0: linear to the peak, then a cosine to `min_lr_rate` of it."""
    warm = warmup(recipe, steps)
    if step < warm:
        return recipe.learning_rate * (step + 1) / warm
    along = (step - warm) / max(1, steps - 1 - warm)
    low = recipe.min_lr_rate
    return recipe.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, along))))


def warmup(recipe: Pretrain, steps: int) -> int:
    """Steps of warm-up."""
    asked = recipe.warmup_steps
    return math.ceil(asked * steps) if asked < 1 else round(asked)


def optimiser(model: torch.nn.Module, recipe: Pretrain) -> torch.optim.AdamW:
    """AdamW that decays matrices and leaves biases and the gains of norms alone."""
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in learnt if p.dim() >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in learnt if p.dim() < 2], "weight_decay": 0.0},
    ]
    betas = (recipe.adam_beta1, recipe.adam_beta2)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=betas, fused=True)


def _without_masks(model: Any) -> None:
    """transformers' own SDPA, under a name for which it builds no mask: rows are causal, and what fills them up is behind.

    To build one it looks for documents in the position ids, for which a GPU would have to wait in each pass.
    """
    AttentionInterface.register(ATTENTION, sdpa_attention_forward)
    model.set_attn_implementation(ATTENTION)


Report = Callable[[int, dict[str, float]], None]
"""What is told of each point of the curve as it is made: the step, and numbers."""


class Loop:
    """A model, its optimiser, and where they have come to."""

    def __init__(self, model: Any, recipe: Pretrain, steps: int, folder: Path) -> None:
        state = PartialState()
        self.model, self.recipe, self.steps, self.folder = model, recipe, steps, folder
        self.rank, self.world_size, self.device = state.process_index, state.num_processes, model.device
        self.dtype = load.dtype(recipe.dtype)
        self.progress = Progress()
        self.report: Report = lambda step, values: None
        self.compiled = self.device.type == "cuda" and steps >= COMPILED_FROM
        _without_masks(model)
        self._body = torch.compile(model.transformer) if self.compiled else model.transformer
        self._optimiser = optimiser(model, recipe)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self._learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def total_loss(self, block: Block) -> torch.Tensor:
        """Sum of the negative log-likelihood of the block's targets, in nats. ()"""
        with self._arithmetic():
            states = self._body(input_ids=block.inputs, use_cache=False).last_hidden_state
        wanted = block.targets.flatten()
        states = states.flatten(0, 1).to(self.dtype)
        if block.predicts is not None:
            states, wanted = states[block.predicts], wanted[block.predicts]
        loss: torch.Tensor = LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
            states, self.model.lm_head.weight, wanted
        )
        return loss

    def _arithmetic(self) -> contextlib.AbstractContextManager[Any]:
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def learn(self, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
        """One optimiser step: the mean loss of its tokens, and the norm of its gradient before it was clipped. (), ()"""
        recipe, now = self.recipe, self.progress.step
        seed = numpy.random.SeedSequence([recipe.seed, now, self.rank]).generate_state(1)[0]
        torch.manual_seed(int(seed))  # a step's dropout, too, is known from its number
        for group in self._optimiser.param_groups:
            group["lr"] = rate(recipe, now, self.steps)
        total = torch.zeros((), device=self.device)
        for block in step.blocks:
            loss = self.total_loss(block.to(self.device)) / step.predicted
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        total = self._over_processes(total)
        self._scaler.unscale_(self._optimiser)
        norm = torch.nn.utils.clip_grad_norm_(self._learnt, recipe.max_grad_norm)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._optimiser.zero_grad(set_to_none=True)
        self.progress.step += 1
        self.progress.tokens += step.tokens
        return total, norm

    def _over_processes(self, loss: torch.Tensor) -> torch.Tensor:
        """The sum of all processes' parts of the loss, and of the gradients as well, in one exchange."""
        if self.world_size == 1:
            return loss
        parts = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in self._learnt]
        everything = torch.cat([loss[None], *parts])
        torch.distributed.all_reduce(everything)
        summed = torch.split(everything[1:], [parameter.numel() for parameter in self._learnt])
        for parameter, gradient in zip(self._learnt, summed):
            parameter.grad = gradient.view_as(parameter)
        return everything[0]

    def make(self, documents: list[Document]) -> Step:
        """This process's share of these rows."""
        recipe = self.recipe
        passes = recipe.gradient_accumulation_steps
        return blocks.step(documents, passes, recipe.max_length, self.rank, self.world_size)

    @torch.no_grad()
    def judge(self, held_out: Source) -> float:
        """The mean loss per token of a fixed set of rows, in nats."""
        self.model.eval()
        numbers, size = held_out.fixed(self.recipe.eval_windows), self.recipe.rows(self.world_size) * self.world_size
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        for start in range(0, len(numbers), size):
            rows = held_out.rows(numbers[start : start + size])
            made = blocks.step(rows, 1, self.recipe.max_length, self.rank, self.world_size)
            for block in made.blocks:
                sums[0] += self.total_loss(block.to(self.device))
                sums[1] += (block.targets != IGNORED).sum()
        if self.world_size > 1:
            torch.distributed.all_reduce(sums)
        self.model.train()
        return float(sums[0] / sums[1].clamp(min=1))

    def run(self, source: Source, held_out: Source, each: Callable[[Loop], None] | None = None) -> None:
        """Every step that is left, with an evaluation and a checkpoint every `eval_steps` and after the last.

        `each` is called after every step. Raises `MedslmError` for a loss that is no number, and for too little memory.
        """
        begun = time.monotonic() - self.progress.seconds
        self.model.train()
        if not self.progress.step:
            self._point({"eval_loss": self.judge(held_out)})
        ahead = Ahead(self._ahead(source))
        try:
            with tqdm(total=self.steps, initial=self.progress.step, disable=self.rank > 0, unit=" steps") as bar:
                self._run(ahead, held_out, bar, begun, each)
        except torch.OutOfMemoryError as error:
            raise MedslmError(
                f"the GPU's memory does not suffice for {self.recipe.rows(self.world_size)} rows in a pass; raise "
                f"gradient_accumulation_steps from {self.recipe.gradient_accumulation_steps}: it changes nothing else"
            ) from error
        finally:
            ahead.close()

    def _ahead(self, source: Source) -> Iterator[Step]:
        left = range(self.progress.step, self.steps)
        pin = self.device.type == "cuda"
        return blocks.training(source, left, self.recipe.global_batch_size, self.make, pin)

    def _run(self, ahead: Ahead[Step], held_out: Source, bar: Any, begun: float, each: Any) -> None:
        losses: list[torch.Tensor] = []
        for step in ahead:
            loss, norm = self.learn(step)
            losses.append(loss)
            now = self.progress.step
            evaluates = now % self.recipe.eval_steps == 0 or now == self.steps
            if evaluates or now % self.recipe.logging_steps == 0 or now == 1:
                mean = float(torch.stack(losses).mean())
                losses.clear()
                speed = self.progress.tokens / max(1e-9, time.monotonic() - begun)
                self._point(
                    {"loss": mean, "learning_rate": rate(self.recipe, now - 1, self.steps), "grad_norm": float(norm)},
                    {"tokens_per_second": speed, "tokens": self.progress.tokens, **self._memory()},
                )
                bar.set_postfix({"loss": f"{mean:.3f}", "tok/s": f"{speed:,.0f}"})
            if evaluates:
                self._evaluate(held_out, begun)
            bar.update(1)
            if each is not None:
                each(self)

    def _evaluate(self, held_out: Source, begun: float) -> None:
        progress = self.progress
        loss = self.judge(held_out)
        self._point({"eval_loss": loss})
        if loss < progress.best_loss:
            progress.best_loss, progress.best_step = loss, progress.step
        progress.seconds = time.monotonic() - begun
        self.save()

    def _memory(self) -> dict[str, float]:
        """GPU memory in GiB, most so far; asking for it waits for nothing."""
        if self.device.type != "cuda":
            return {}
        return {"gpu_memory_gib": torch.cuda.max_memory_reserved(self.device) / 2**30}

    def _point(self, values: dict[str, float], beside: dict[str, float] | None = None) -> None:
        """Add to the curve; `beside` is reported as well, but kept nowhere: it differs from one machine to another."""
        bad = [name for name, value in values.items() if name.endswith("loss") and not math.isfinite(value)]
        if bad:
            raise MedslmError(
                f"{bad[0]} is not a number at step {self.progress.step}; lower learning_rate, or use dtype=bfloat16 or "
                "float32. The last checkpoint, if one was kept, stays"
            )
        # a norm that float16 could not hold, at a step that the scaler skipped, is left out
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self.progress.curve.append({"step": self.progress.step, **finite})
        self.report(self.progress.step, values | (beside or {}))

    def save(self) -> None:
        """Keep where the run is; only the best and the last checkpoint stay."""
        if self.rank:
            return
        here = self._checkpoint(self.progress.step)
        with checkpoint.writing(here), files.beside(here) as temporary:
            temporary.mkdir(parents=True)
            save_model(self.model, str(temporary / "model.safetensors"))
            moments = {"optimiser": self._optimiser.state_dict(), "scaler": self._scaler.state_dict()}
            torch.save(moments, temporary / "moments.pt")
            files.write_json(temporary / checkpoint.STATE, vars(self.progress))
            files.write_json(temporary / checkpoint.SECONDS, self.progress.seconds)
        keep = {here.name, self._checkpoint(self.progress.best_step or 0).name}
        for other in checkpoint.numbered(self.folder):
            if other.name not in keep:
                files.remove(other)

    def resume(self, newest: Path) -> None:
        """Go on from a checkpoint. Raises `MedslmError` if its state is none, or the best weights so far are lost."""
        told = files.read_json(newest / checkpoint.STATE, "the run itself")
        if not isinstance(told, dict) or told.keys() != vars(self.progress).keys():
            raise MedslmError(f"{newest / checkpoint.STATE} is not the state of a run; put it back, or remove {newest}")
        checkpoint.require_best(newest.parent, told["best_step"])
        load_model(self.model, str(newest / "model.safetensors"), device=str(self.device))
        moments = torch.load(newest / "moments.pt", map_location=self.device, weights_only=True)
        self._optimiser.load_state_dict(moments["optimiser"])
        self._scaler.load_state_dict(moments["scaler"])
        self.progress = Progress(**told)

    def take_best(self) -> None:
        """Put the weights of the best checkpoint into the model."""
        best = self._checkpoint(self.progress.best_step or 0) / "model.safetensors"
        load_model(self.model, str(best), device=str(self.device))

    def _checkpoint(self, step: int) -> Path:
        return self.folder / f"checkpoint-{step}"
