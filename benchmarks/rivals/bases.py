"""Bases with random weights where they are computed, in NF4 where asked: what memory and speed are measured on."""

from __future__ import annotations

from typing import Any


def random_base(config: Any, quantization: str, dtype: Any) -> Any:
    """The model on this machine's device, made there; its linear layers but the head in NF4 if `quantization` is `nf4`."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.quantizers import AutoHfQuantizer

    from medslm.models import load, nf4

    with torch.device(load.device()):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    if quantization == "nf4":
        for name in linears(model):
            model.set_submodule(name, quantized(model.get_submodule(name)))  # and the one before it is freed
        model.is_loaded_in_4bit = model.is_quantized = True
        model.hf_quantizer = AutoHfQuantizer.from_config(nf4.config(dtype))  # asked whether the model can learn
    return model.eval()


def linears(model: Any) -> list[str]:
    """The names of the linear layers but the output head."""
    import torch

    head = model.get_output_embeddings()
    return [name for name, part in model.named_modules() if isinstance(part, torch.nn.Linear) and part is not head]


def quantized(linear: Any) -> Any:
    """The layer as transformers would have loaded it with `medslm.models.load`'s settings."""
    import bitsandbytes

    kept = {"compress_statistics": True, "quant_type": "nf4"}
    sizes = (linear.in_features, linear.out_features, linear.bias is not None)
    made = bitsandbytes.nn.Linear4bit(*sizes, compute_dtype=linear.weight.dtype, device="meta", **kept)
    weight = bitsandbytes.nn.Params4bit(linear.weight.data, requires_grad=False, module=made, **kept)
    made.weight, made.bias = weight.to(linear.weight.device), linear.bias
    return made
