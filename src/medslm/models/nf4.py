"""Weights in 4-bit NormalFloat with double quantisation (arXiv:2305.14314); the only file that knows bitsandbytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medslm.errors import MedslmError

if TYPE_CHECKING:  # importing this module imports no torch
    import torch


def config(compute: torch.dtype) -> Any:
    """What transformers quantises by while it loads; named in full since the defaults are fp4 and float32.

    Raises `MedslmError` if bitsandbytes is missing.
    """
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise MedslmError('quantization=nf4 needs bitsandbytes; `pip install "medslm[quant]"`') from None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )


def keep_gradients(quantized: Any) -> None:
    """Keep bitsandbytes 0.50 from repacking the weights of a CPU model in its first evaluation.

    On processors with AVX512-BF16 the repacked path has no autograd: training after an evaluation would go on with
    wrong gradients and only a warning. `tests/models/test_nf4.py` compares the gradients before and after one.
    """
    for module in quantized.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def quantized(linear: Any) -> bool:
    """Whether the layer's weight is in 4 bits."""
    return hasattr(linear.weight, "quant_state")


def unpack(linear: Any, into: torch.Tensor) -> None:
    """Write the layer's weight into `into` (N, K), in its type."""
    from bitsandbytes.functional import dequantize_4bit

    from medslm.models.fast.elementwise import has_kernels

    weight = linear.weight
    if has_kernels(into.device.type) and weight.quant_state.nested and into.is_contiguous():
        from medslm.models.fast import kernels

        kernels.unpack_nf4(weight.data, weight.quant_state, into)
    else:
        into.copy_(dequantize_4bit(weight.data, weight.quant_state))
