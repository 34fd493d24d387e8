"""Puts the fast paths into a PEFT model: its parameters stay PEFT's, its layers' `forward` becomes ours."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.utils.checkpoint

from medslm.errors import MedslmError
from medslm.models import attention
from medslm.models.fast.elementwise import has_kernels
from medslm.models.fast.family import bent, by_hand
from medslm.models.fast.group import adapter_of
from medslm.models.fast.head import LinearCrossEntropy
from medslm.models.fast.layer import Layer
from medslm.models.fast.linear import Linear
from medslm.models.passes import Pass

LEVELS = {"none": 0, "mlp": 1, "attention-kept": 2, "all": 3}
"""What a layer computes again on the way back: nothing, gate and up, all but attention, everything."""


def quicken(model: Any, levels: Sequence[int] = (), offload: bool = False, fp8: bool = False) -> dict[str, str]:
    """Switch on what this model and this machine support, and say what: name of a path -> how it is taken.

    `levels[i]` is what layer `i` recomputes (`LEVELS`); empty means nothing. `offload` keeps the layers' inputs in the
    host's memory. `fp8` turns the frozen linears into e4m3; raises `MedslmError` where the GPU cannot multiply it.
    """
    base = model.get_base_model()
    dtype = _dtype(base)
    if fp8:
        require_fp8(dtype)
    layers = _layers(base)
    switched = {"attention": attention.way(model, dtype)}
    if by_hand(base.config) and not any(map(_is_dora, base.modules())):
        for layer in layers:
            layer.forward = Layer(layer, base.config, dtype, fp8, 0, False)
        switched["layers"] = "one function each, backward by hand"
    else:
        number = sum(_replace(owner, name, dtype, fp8) for owner, name in _adapted(base))
        switched["lora"] = f"{number} linears, one function each"
    recompute(model, levels or [0] * len(layers), offload)
    switched["head"] = "fused, completion positions only" if _plain_head(base) else "the model's own"
    switched["kernels"] = "triton" if has_kernels(base.device.type) else "eager"
    kept = "nf4" if getattr(base, "is_loaded_in_4bit", False) else str(dtype).removeprefix("torch.")
    switched["base"] = "fp8 e4m3, both ways" if fp8 else kept
    return switched


@contextlib.contextmanager
def reading(model: Any) -> Iterator[None]:
    """Let the decoder layers of a model that learns nothing compute packed passes by hand for a while.

    Of a PEFT model, or of one without adapters; on a GPU only, for without kernels transformers' own is faster, and not
    where layers hold what is not computed by hand. They are made anew each time, so that changed weights are seen.
    """
    base = attention.unwrapped(model)
    layers: list[Any] = []
    if has_kernels(base.device.type) and by_hand(base.config):
        layers = [layer for layer in _layers(base) if not isinstance(layer.forward, Layer)]
    if any(map(_foreign, layers)):
        layers = []
    try:
        for layer in layers:
            layer.forward = Layer(layer, base.config, _dtype(base), False, 0, False)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)  # the class's own again


def _foreign(layer: Any) -> bool:
    """Whether a decoder layer holds what `Group` does not compute: anything but linears and one plain LoRA adapter."""
    return any(
        _is_dora(part)
        or (hasattr(part, "base_layer") and not isinstance(getattr(part, "lora_A", None), torch.nn.ModuleDict))
        or (hasattr(part, "active_adapters") and (len(part.active_adapters) > 1 or part.merged))
        for part in layer.modules()
    )


def layered(model: Any) -> bool:
    """Whether the decoder layers are written by hand, and so can recompute parts of themselves."""
    return all(isinstance(layer.forward, Layer) for layer in _layers(model.get_base_model()))


def recompute(model: Any, levels: Sequence[int], offload: bool = False) -> None:
    """Change what each layer keeps for its backward pass; takes effect with the next forward pass."""
    base = model.get_base_model()
    layers = _layers(base)
    if len(levels) != len(layers):
        raise ValueError(f"{len(levels)} levels for {len(layers)} layers")
    for layer, level in zip(layers, levels):
        if isinstance(layer.forward, Layer):
            layer.forward.level, layer.forward.offload = level, offload
        else:
            _checkpoint(layer, level > 0)


def total_loss(model: Any, one: Pass) -> torch.Tensor:
    """Sum of the negative log-likelihood of `one.targets`, in nats; the head sees the positions that predict them only."""
    base = model.get_base_model()
    arguments = attention.arguments(one)
    if not _plain_head(base):
        logits = base(input_ids=one.input_ids, logits_to_keep=one.predicts, **arguments).logits[0]
        return torch.nn.functional.cross_entropy(logits.float(), one.targets, reduction="sum")
    states = attention.body(model)(input_ids=one.input_ids, **arguments).last_hidden_state[0]
    head = base.get_output_embeddings()
    loss: torch.Tensor = LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        states[one.predicts], head.weight, head.bias, one.targets
    )
    return loss


def _dtype(base: Any) -> torch.dtype:
    """The type of the arithmetic: that of what is never quantised."""
    dtype: torch.dtype = base.get_input_embeddings().weight.dtype
    return dtype


def _layers(base: Any) -> list[Any]:
    """The decoder layers, from the first to the last; some bodies hold them in a decoder of their own (OPT)."""
    number = base.config.get_text_config().num_hidden_layers
    lists = (part for part in attention.body(base).modules() if isinstance(part, torch.nn.ModuleList))
    found = next((part for part in lists if len(part) == number), None)
    if found is None:
        raise MedslmError(
            f"the {number} layers of this {base.config.model_type} model were not found, so it cannot be trained here; "
            "choose another base (`medslm list bases`)"
        )
    return list(found)


def _adapted(base: Any) -> list[tuple[torch.nn.Module, str]]:
    """Each linear layer that carries a LoRA adapter, as its owner and its name there."""
    found = []
    for owner in base.modules():
        for name, child in owner.named_children():
            if adapter_of(child) and _multiplies(child.base_layer):
                found.append((owner, name))
    return found


def _multiplies(layer: Any) -> bool:
    """Whether a layer is a product with a matrix and nothing else; the router of a mixture of experts also chooses."""
    return isinstance(layer, torch.nn.Linear) or type(layer).__name__ == "Conv1D"


def _replace(owner: torch.nn.Module, name: str, dtype: torch.dtype, fp8: bool) -> bool:
    """Whether the layer `name` of `owner` now computes as one function."""
    layer = getattr(owner, name)
    if _is_dora(layer):
        return False
    layer.forward = Linear(owner, name, dtype, fp8)
    return True


def _is_dora(layer: Any) -> bool:
    """Whether an adapter also scales each row of the whole weight (arXiv:2402.09353); PEFT computes those itself."""
    return bool(getattr(layer, "use_dora", {}).get(adapter_of(layer), False))


def _checkpoint(layer: Any, wanted: bool) -> None:
    """transformers' own activation checkpointing of one layer."""
    layer.gradient_checkpointing = wanted
    layer._gradient_checkpointing_func = functools.partial(torch.utils.checkpoint.checkpoint, use_reentrant=False)


def _plain_head(base: Any) -> bool:
    """Whether the logits are hidden states times the head's weight, and nothing else."""
    config, head = base.config.get_text_config(), base.get_output_embeddings()
    return not bent(config) and isinstance(head, torch.nn.Linear) and not head.weight.requires_grad


def require_fp8(dtype: torch.dtype) -> None:
    """Raise `MedslmError` unless the GPU multiplies e4m3, and the rest of the arithmetic is in bfloat16."""
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 9):
        name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
        raise MedslmError(
            "quantization=fp8 needs a GPU that multiplies 8-bit floating point (Ada, Hopper, Blackwell), and here is "
            f"{name}; use quantization=nf4 or none"
        )
    if dtype != torch.bfloat16:
        raise MedslmError(f"quantization=fp8 goes with dtype=bfloat16, and {dtype} was asked for; leave dtype at auto")
