"""All weights of a base learn: the same packed passes and the same loss as an adapter's, without one."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from medslm import files
from medslm.models import attention, fast, load
from medslm.models.base import resolve
from medslm.models.fast.family import bent
from medslm.models.passes import Pass
from medslm.models.whole import FOLDER
from medslm.recipe import Sft
from medslm.train.execution import Execution
from medslm.train.planning import Plan
from medslm.train.whole_head import LinearCrossEntropy


@dataclass(frozen=True)
class Full:
    """Weights, gradients and moments in float32, arithmetic in the recipe's type: a learning rate of 1e-5 changes a weight
    by less than bfloat16 can hold (arXiv:1710.03740)."""

    dtype: torch.dtype
    """Of the arithmetic."""

    weights: str = f"{FOLDER}/model.safetensors"

    def build(self, planned: Plan, newest: Path | None) -> Any:
        """The base in float32. Raises `MedslmError` if it does not fit."""
        model = load.model(resolve(planned.recipe.base), wanted="float32").requires_grad_(True)
        model.config.use_cache = False
        model.get_base_model = lambda: model  # what `models.fast` asks of a PEFT model
        return model

    def quicken(self, recipe: Sft, chosen: Execution, model: Any) -> dict[str, str]:
        """Keep packed documents apart, and recompute layers where the plan says so; the layers are transformers' own."""
        if recipe.packing:
            attention.use(model, chosen.longest)
        fast.recompute(model, chosen.levels)
        # in float32: what it tolerates as rounding follows from the type of the states
        (attention.prove if recipe.packing else attention.prove_order)(model)
        return {
            "attention": attention.way(model, self.dtype),
            "layers": "transformers' own",
            "head": "sliced, completion positions only" if _plain_head(model) else "the model's own",
            "base": f"float32, computed in {str(self.dtype).removeprefix('torch.')}",
        }

    def total_loss(self, model: Any, one: Pass) -> torch.Tensor:
        """Sum of the negative log-likelihood in nats; only positions that predict reach the head. ()"""
        arguments = attention.arguments(one)
        with arithmetic(model, self.dtype):
            if not _plain_head(model):
                logits = model(input_ids=one.input_ids, logits_to_keep=one.predicts, **arguments).logits[0]
                return torch.nn.functional.cross_entropy(logits.float(), one.targets, reduction="sum")
            states = attention.body(model)(input_ids=one.input_ids, **arguments).last_hidden_state[0]
        head = model.get_output_embeddings()
        loss: torch.Tensor = LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
            states[one.predicts].to(self.dtype), head.weight, one.targets
        )
        return loss

    def save(self, planned: Plan, model: Any) -> None:
        """`model/`, in the type in which it was computed, for `AutoModelForCausalLM.from_pretrained`."""
        model.config.use_cache = True
        with files.beside(planned.folder / FOLDER) as temporary:
            model.to(self.dtype).save_pretrained(str(temporary), max_shard_size="1TB")  # one file, one digest
            planned.tokenizer.save_pretrained(str(temporary))


def arithmetic(model: Any, dtype: torch.dtype) -> contextlib.AbstractContextManager[Any]:
    """Products in `dtype`; what needs float32, such as norms, stays in it."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(model.device.type, dtype)


def _plain_head(model: Any) -> bool:
    """Whether the logits are hidden states times the head's weight, and nothing else."""
    config, head = model.config.get_text_config(), model.get_output_embeddings()
    return not bent(config) and head.bias is None
