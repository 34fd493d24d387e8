"""A LoRA adapter on a frozen base, on the fast paths: plain, rank-stabilised, DoRA or PiSSA, as its preset says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState
from safetensors.torch import load_file

from medslm import files
from medslm.errors import MedslmError
from medslm.models import attention, fast, load
from medslm.models.base import resolve
from medslm.models.lora import loras
from medslm.models.passes import Pass
from medslm.recipe import Sft
from medslm.train.execution import Execution
from medslm.train.planning import Plan

if TYPE_CHECKING:
    from peft import PeftModel

START = "start"
"""Folder beside the checkpoints for a PiSSA adapter as it was before the first step."""

WEIGHTS = "adapter_model.safetensors"

SAME_START = 1e-3
"""How far two decompositions of the same weights may differ by rounding, relative to their norm."""


class Adapter:
    """Two low-rank matrices beside each linear layer (arXiv:2106.09685)."""

    weights: str = f"adapter/{WEIGHTS}"

    def build(self, planned: Plan, newest: Path | None) -> PeftModel:
        """The base with a fresh adapter. Raises `MedslmError` if a PiSSA run cannot go on from `newest` here."""
        recipe, lora = planned.recipe, loras[planned.recipe.lora]
        base = load.model(resolve(recipe.base), recipe.quantization, recipe.dtype)
        model = load.with_new_adapter(base, lora)
        if lora.mutates_base and PartialState().is_main_process:
            _keep_start(planned.folder / "checkpoints" / START, model, newest is not None)
        return model

    def quicken(self, recipe: Sft, chosen: Execution, model: PeftModel) -> dict[str, str]:
        """Put the fast paths into the model, and prove that packed documents do not see each other."""
        if recipe.packing:
            attention.use(model, chosen.longest)
        paths = fast.quicken(model, chosen.levels, chosen.offload, recipe.quantization == "fp8")
        (attention.prove if recipe.packing else attention.prove_order)(model)
        return paths

    def total_loss(self, model: PeftModel, one: Pass) -> torch.Tensor:
        """As `fast.total_loss`. ()"""
        return fast.total_loss(model, one)

    def save(self, planned: Plan, model: PeftModel) -> None:
        """The adapter and its tokenizer, with the base under its Hub id and not under a path of this machine.

        PiSSA's becomes an adapter of twice the rank for the base as it is published (PEFT: `subtract_mutated_init`).
        """
        start = str(planned.folder / "checkpoints" / START)
        mutated = loras[planned.recipe.lora].mutates_base
        options: dict[str, Any] = {"path_initial_model_for_weight_conversion": start} if mutated else {}
        save(planned, model, **options)


def save(planned: Plan, model: PeftModel, **options: Any) -> None:
    """Write `adapter/` with PEFT; `options` are those of its `save_pretrained`.

    The base's Hub id is written last: PEFT would ask the Hub about a base of that name.
    """
    with files.beside(planned.folder / "adapter") as temporary:
        with warnings.catch_warnings():  # converting PiSSA, PEFT holds both adapters for a moment, and warns of it
            warnings.filterwarnings("ignore", message="PiSSA changes the base weights", category=UserWarning)
            model.save_pretrained(str(temporary), save_embedding_layers=False, **options)  # LoRA leaves them alone
        config = temporary / "adapter_config.json"
        told = files.read_json(config, "PEFT")
        files.write_json(config, told | {"base_model_name_or_path": resolve(planned.recipe.base).hub_id})
        planned.tokenizer.save_pretrained(str(temporary))
        files.remove(temporary / "README.md")  # PEFT's own card; ours is made from measured numbers


def _keep_start(folder: Path, model: PeftModel, begun: bool) -> None:
    """Write the adapter as it begins; or, in a run that was begun, see that it begins here as it did there."""
    if not begun:
        with files.beside(folder) as temporary:
            model.save_pretrained(str(temporary), save_embedding_layers=False)
        return
    from peft import get_peft_model_state_dict

    there, here = load_file(folder / WEIGHTS), get_peft_model_state_dict(model, save_embedding_layers=False)
    if any(_apart(here[name].detach().cpu().float(), value.float()) for name, value in there.items()):
        raise MedslmError(
            "this machine decomposes the base's weights otherwise than the one where the run was begun, and its PiSSA "
            "adapter would not fit what is left of them; go on where it was begun, or give the run another --name"
        )


def _apart(here: torch.Tensor, there: torch.Tensor) -> bool:
    return float((here - there).norm()) > SAME_START * float(there.norm())
