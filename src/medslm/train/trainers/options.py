"""What every transformers Trainer of ours is told: each default that would hurt here is named."""

from __future__ import annotations

from typing import Any

import torch

from medslm.models import load
from medslm.train.planning import Plan


def options(planned: Plan, optim: str) -> dict[str, Any]:
    """Arguments of `TrainingArguments` that do not depend on who computes the passes."""
    recipe = planned.recipe
    return {
        "output_dir": str(planned.folder / "checkpoints"),
        "run_name": recipe.name,
        "num_train_epochs": recipe.num_train_epochs,
        "max_steps": recipe.max_steps,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.lr_scheduler_type,
        "warmup_steps": recipe.warmup_steps,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "optim": optim,
        "seed": recipe.seed,
        "use_cpu": load.device() == "cpu",
        "fp16": load.dtype(recipe.dtype) == torch.float16,  # its gradients have to be scaled
        "logging_steps": recipe.logging_steps,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # or a loss of NaN is shown as the mean of the others, and each step waits for it
        "include_num_input_tokens_seen": "no",  # counted by the trainers themselves
        "eval_strategy": "steps",
        "eval_steps": recipe.eval_steps,
        "eval_on_start": True,
        "save_strategy": "steps",
        "save_steps": recipe.eval_steps,
        "save_total_limit": 2,  # the best and the last
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
        "report_to": [],  # its callback for W&B would tell paths of this machine; `Logged` tells numbers
        "push_to_hub": False,  # publishing is never a side effect of training
    }
