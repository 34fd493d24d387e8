"""Pretraining: all weights of a small GPT-2, from random ones on running text or from an earlier run's on answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from medslm.recipe.run import Run

VOCABULARY = 2**16
"""Token ids that the two bytes of a token in `train.bin` can hold."""


@dataclass(frozen=True, kw_only=True)
class Pretrain(Run):
    """All weights of a GPT-2 of any size. Raises `MedslmError` for values that cannot be run.

    In the format `text` documents are joined by the end-of-text token and cut into windows, of which every token carries
    loss; in any other an example is one row, and its answer alone carries loss.
    """

    base: str = "gpt2"
    """Preset or Hub id whose tokenizer is used; none of its weights are."""

    suite: str = ""
    """What judges the result beside its validation loss (`medslm list suites`); its items are kept out of training."""

    start: str = ""
    """Finished run, beside this one, whose weights are the first; its positions are extended to `max_length`. Empty:
    random weights."""

    format: str = "text"
    """How an example becomes text (`medslm list formats`)."""

    max_length: int = 128
    """Positions of the model, GPT-2's block: tokens of a window of running text. A longer example of question and answer
    is dropped whole and counted."""

    n_layer: int = 6
    """Layers."""

    n_embd: int = 384
    """Width."""

    n_head: int = 6
    """Heads of attention, which share the width."""

    vocab_size: int = 50_257
    """Rows of the embedding, at least the tokenizer's tokens; at most 65,536, since a token is kept in two bytes."""

    dropout: float = 0.0
    """On embeddings, attention and residuals; few passes over much text need none."""

    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Type of the arithmetic; the weights are kept in float32. `auto` is the fastest that the device computes by itself."""

    global_batch_size: int = 1024
    """Windows or examples per optimiser step, over all processes."""

    gradient_accumulation_steps: int = 32
    """Passes of an optimiser step on each process, whose gradients are added up; fewer are faster and take more memory."""

    learning_rate: float = 1e-3
    """Peak learning rate of AdamW."""

    warmup_steps: float = 1000
    """Optimiser steps of linear warm-up; below 1 it is a fraction of all steps."""

    min_lr_rate: float = 0.1
    """What is left of the peak at the end of the cosine."""

    adam_beta1: float = 0.9
    """Decay of AdamW's first moment."""

    adam_beta2: float = 0.95
    """Decay of AdamW's second moment."""

    weight_decay: float = 0.1
    """Decoupled weight decay (arXiv:1711.05101), on matrices only."""

    max_grad_norm: float = 0.5
    """Gradients are scaled down to this global L2 norm."""

    eval_steps: int = 500
    """Optimiser steps between evaluations; each is also a checkpoint."""

    eval_windows: int = 2048
    """Windows or examples of each evaluation, always the same, spread evenly over all that is held out."""

    logging_steps: int = 10
    """Optimiser steps between points of the loss curve."""

    prompts: tuple[str, ...] = ()
    """What the finished model continues or answers, in `samples.json`; an empty text is the beginning of a document."""

    temperature: float = 0.8
    """By which logits are divided when samples are drawn."""

    top_k: int = 50
    """Tokens among which a sample is drawn: the likeliest."""

    max_new_tokens: int = 100
    """Longest sample."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_layer", "n_head", "gradient_accumulation_steps", "eval_windows", "top_k", "max_new_tokens"):
            self._check(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        self._check(self.max_length >= 2, "max_length", self.max_length, "at least 2")
        self._check(0 < self.vocab_size <= VOCABULARY, "vocab_size", self.vocab_size, f"1 to {VOCABULARY}")
        width = self.n_embd
        self._check(width > 0 and width % self.n_head == 0, "n_embd", width, f"a multiple of n_head={self.n_head}")
        for name in ("dropout", "adam_beta1", "adam_beta2"):
            self._check(0 <= getattr(self, name) < 1, name, getattr(self, name), "at least 0 and below 1")
        self._check(0 <= self.min_lr_rate <= 1, "min_lr_rate", self.min_lr_rate, "0 to 1")
        self._check(0 < self.temperature < math.inf, "temperature", self.temperature, "above 0")
        self.rows(1)

    @property
    def on_text(self) -> bool:
        """True if windows of running text are learnt, and not examples one by one."""
        return self.format == "text"

    def rows(self, world_size: int) -> int:
        """Windows or examples of one pass on each of `world_size` processes. Raises `MedslmError` for unequal passes."""
        share, passes = self.share(world_size), self.gradient_accumulation_steps
        self._check(
            share % passes == 0, "gradient_accumulation_steps", passes, f"a divisor of {share}, a process's rows a step"
        )
        return share // passes
