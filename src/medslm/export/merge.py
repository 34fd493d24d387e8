"""Merges an adapter into its base: in float32, from the base's original weights, and stored in the base's own type.

PEFT's merge knows LoRA, rsLoRA, DoRA, Conv1D and embeddings. In float32 it moves predictions by rounding only, which is
measured before anything is stored: a merge into bfloat16 rounds twice, one into 4 bits moves logits six times as far.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medslm import files
from medslm.errors import MedslmError
from medslm.export import drift
from medslm.export.subject import PROMPTS, Item, Subject
from medslm.export.torch_reader import TorchReader
from medslm.models import load, nf4, source, whole

if TYPE_CHECKING:  # importing this module imports no torch
    import torch

EXACT = drift.Bound(drift=1e-6, fall=0.0)
"""Of float32 before and after the merge, where only sums are taken in another order (`docs/export.md`)."""

WRONG = (
    "Nothing was written. In float32 a merge only sums in another order, so that this one is wrong and no option allows "
    "it: serve base and adapter side by side (`medslm serve`), or merge with another version of PEFT than"
)


def learnt(subject: Subject) -> Any:
    """Base and adapter in float32, side by side, or the whole model. Raises `MedslmError` if memory does not suffice."""
    if subject.whole:
        return whole.trained(subject.weights.parent, "float32")
    return load.with_adapter(load.model(subject.base, wanted="float32"), subject.adapter)


def merge(model: Any, items: list[Item], before: list[drift.Array]) -> tuple[Any, drift.Drift]:
    """The adapter merged into its base, and what that changed of the readings `before`; `model` is used up.

    Raises `MedslmError` for weights that are quantised, or not in float32, for NaN, and if predictions changed.
    """
    refuse_rounded(model)
    _untie(model)
    try:
        merged = model.merge_and_unload(safe_merge=True)
    except (ValueError, RuntimeError) as error:  # numbers that are none; a bias for layers that have none
        raise MedslmError(
            f"the adapter cannot be merged: {str(error).rstrip('.')}; export another run, or serve it unmerged"
        ) from error
    some, rows = _one_each(items, before)
    found = drift.between(some, rows, TorchReader(merged))
    drift.refuse(found, EXACT, "the merged model in float32", f"{WRONG} {importlib.metadata.version('peft')}")
    return merged, found


def _untie(model: Any) -> None:
    """Give the head its own weights where one adapter changes only one of two uses of tied ones; PEFT would change both."""
    import torch

    base = model.get_base_model()
    ends = [base.get_input_embeddings(), base.get_output_embeddings()]
    first, last = (getattr(part, "base_layer", part) for part in ends)
    if first.weight is last.weight and any(part is not bare for part, bare in zip(ends, (first, last))):
        last.weight = torch.nn.Parameter(last.weight.detach().clone(), requires_grad=False)
        base.config.get_text_config().tie_word_embeddings = base.config.tie_word_embeddings = False


def _one_each(items: list[Item], before: list[drift.Array]) -> tuple[list[Item], list[drift.Array]]:
    """The first passage of `PROMPTS` items, spread over all: a wrong merge shows in any."""
    firsts = [(item, rows[0]) for item, rows in zip(items, drift.by_item(items, before))]
    chosen = firsts[:: max(1, len(firsts) // PROMPTS)][:PROMPTS]
    return [replace(item, passages=item.passages[:1], right=None) for item, _ in chosen], [row for _, row in chosen]


def refuse_rounded(model: Any) -> None:
    """Raise `MedslmError` unless every weight of the base is there in float32."""
    import torch

    if any(nf4.quantized(part) for part in model.modules() if getattr(part, "weight", None) is not None):
        raise MedslmError(
            "the base was loaded in 4 bits, and a merge would round the adapter away; load the original base "
            "(medslm.models.load.model without quantization) and merge into that"
        )
    kinds = {str(weight.dtype).removeprefix("torch.") for weight in model.parameters()} - {"float32"}
    if kinds or any(weight.dtype != torch.float32 for weight in model.buffers() if weight.is_floating_point()):
        raise MedslmError(f"the base was loaded in {', '.join(sorted(kinds)) or 'mixed types'}; merge in float32")


def stored_dtype(subject: Subject) -> torch.dtype:
    """The type in which the base, or a run's whole model, is stored; float32 where its configuration does not say."""
    import torch

    folder = subject.weights.parent if subject.whole else source.find(subject.base).folder
    config = files.read_json(folder / "config.json", "the base's authors")
    named = config.get("dtype") or config.get("torch_dtype") or "float32"
    found = getattr(torch, str(named).removeprefix("torch."), None)
    if not isinstance(found, torch.dtype):
        raise MedslmError(f"config.json of {subject.base.hub_id} says that it is stored in '{named}', which is no type")
    return found


def save(subject: Subject, merged: Any, folder: Path) -> None:
    """Write a merged model with tokenizer and chat template as `save_pretrained` does; `merged` is cast and used up.

    The generation settings are those of the evaluation: greedy, up to the end of turn that was trained.
    """
    from transformers import GenerationConfig

    ends = _ends(subject)
    tokenizer = subject.tokenizer
    merged.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ends if len(ends) > 1 else ends[0],
        pad_token_id=tokenizer.pad_token_id,
    )
    merged.config.name_or_path = subject.name
    merged.to(stored_dtype(subject)).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))


def _ends(subject: Subject) -> list[int]:
    """The end of turn that the run learnt, then the base's own end of text."""
    learnt = subject.tokenizer.convert_tokens_to_ids(subject.renderer.end_of_turn)
    return list(dict.fromkeys(end for end in (learnt, subject.tokenizer.eos_token_id) if end is not None))


def reload(folder: Path) -> TorchReader:
    """What `save` wrote, read back from the files alone, in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoTokenizer.from_pretrained(folder)  # it must load, though ids are compared elsewhere
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, device_map={"": load.device()})
    return TorchReader(model)
