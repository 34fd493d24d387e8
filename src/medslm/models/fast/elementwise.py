"""The arithmetic between the matrix products, written out in torch: what runs on a CPU, and what the kernels must equal.

On CUDA with Triton each function hands over to `kernels`. Sums, means and exponentials are taken in float32 whatever the
inputs are in, as transformers does. Functions that say so write over what they were given: it is not wanted again.
`fp8` asks for the rows in e4m3 as well.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., Any])
Quantized = tuple[torch.Tensor, torch.Tensor]
"""Rows in e4m3 (T, K) and their scales (T, 1) in float32."""

FP8 = torch.float8_e4m3fn
FP8_MOST = 448.0
"""Largest finite value of e4m3 (OCP 8-bit floating point, 1.0)."""


@functools.cache
def has_kernels(device: str) -> bool:
    """Whether this kind of device runs Triton kernels here."""
    return device == "cuda" and importlib.util.find_spec("triton") is not None


def by_kernel(function: Function) -> Function:
    """Let the Triton kernel of the same name do it, where there is Triton."""

    @functools.wraps(function)
    def call(first: torch.Tensor, *others: Any) -> Any:
        if not has_kernels(first.device.type):
            return function(first, *others)
        from medslm.models.fast import kernels

        return getattr(kernels, function.__name__)(first, *others)

    return call  # type: ignore[return-value]


@dataclass(frozen=True)
class Heads:
    """How a row of queries, keys and values is divided."""

    queries: int
    keys: int
    weights: tuple[torch.Tensor, torch.Tensor] | None = None
    """Of the normalisation of each query and key head, (D,) each (Qwen3, arXiv:2505.09388)."""

    eps: float = 0.0

    def split(self, joined: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Views of queries, keys and values (T, heads, D) of (T, (queries + 2 keys) D)."""
        numbers = [self.queries, self.keys, self.keys]
        return torch.split(joined.view(len(joined), sum(numbers), -1), numbers, 1)


@by_kernel
def rms_norm(
    hidden: torch.Tensor, weight: torch.Tensor, eps: float, fp8: bool, add: torch.Tensor | None = None
) -> tuple[torch.Tensor, Quantized | None]:
    """Root mean square normalisation over the last dimension (arXiv:1910.07467), as transformers rounds it.

    `add`, where given, is added to `hidden` first, in place.
    """
    if add is not None:
        hidden += add
    normal = _normal(hidden, weight, eps)
    return normal, quantize(normal) if fp8 else None


def _normal(hidden: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    wide = hidden.float()
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).to(hidden.dtype)


def _normal_backward(hidden: torch.Tensor, weight: torch.Tensor, eps: float, gradient: torch.Tensor) -> torch.Tensor:
    wide = hidden.float()
    scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    through, normal = gradient.float() * weight.float(), wide * scale
    return scale * (through - normal * (through * normal).mean(-1, keepdim=True))


@by_kernel
def rms_norm_backward(
    hidden: torch.Tensor, weight: torch.Tensor, eps: float, gradient: torch.Tensor, past: torch.Tensor, fp8: bool
) -> tuple[torch.Tensor, torch.Tensor, Quantized | None]:
    """Gradient of `hidden`, which also went `past` the normalisation, and the normalised states. (T, H) each

    `gradient` is written over.
    """
    back = (past.float() + _normal_backward(hidden, weight, eps, gradient)).to(hidden.dtype)
    return back, _normal(hidden, weight, eps), quantize(back) if fp8 else None


def _rotate(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary embedding (arXiv:2104.09864) in transformers' half-and-half layout. (T, heads, D), (T, 1, D)"""
    first, second = heads.chunk(2, -1)
    return heads * cos + torch.cat([-second, first], -1) * sin


def _rotate_back(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """The transpose of `_rotate`."""
    first, second = (heads * sin).chunk(2, -1)
    return heads * cos + torch.cat([second, -first], -1)


def rope(joined: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, heads: Heads) -> torch.Tensor:
    """`joined` (T, (queries + 2 keys) D) with queries and keys rotated; written over, unless heads are normalised."""
    out = joined if heads.weights is None else torch.empty_like(joined)
    if has_kernels(joined.device.type):
        from medslm.models.fast import rotation

        rotation.rope(joined, out, cos, sin, heads)
        return out
    queries, keys, values = heads.split(joined)
    if heads.weights is not None:
        queries, keys = (_normal(part, one, heads.eps) for part, one in zip((queries, keys), heads.weights))
    parts = [_rotate(queries, cos[:, None], sin[:, None]), _rotate(keys, cos[:, None], sin[:, None]), values]
    return out.copy_(torch.cat([part.flatten(1) for part in parts], 1))


def rope_backward(
    parts: tuple[torch.Tensor, ...],
    joined: torch.Tensor | None,
    cos: torch.Tensor,
    sin: torch.Tensor,
    heads: Heads,
    fp8: bool,
) -> tuple[torch.Tensor, Quantized | None]:
    """Gradient of what `rope` was given, from those of queries, keys and values; `joined`, if heads are normalised."""
    if has_kernels(cos.device.type):
        from medslm.models.fast import rotation

        return rotation.rope_backward(parts, joined, cos, sin, heads, fp8)
    turned = [_rotate_back(part, cos[:, None], sin[:, None]) for part in parts[:2]]
    if heads.weights is not None and joined is not None:
        before = heads.split(joined)
        turned = [
            _normal_backward(part, weight, heads.eps, gradient).to(part.dtype)
            for part, weight, gradient in zip(before, heads.weights, turned)
        ]
    back = torch.cat([part.flatten(1) for part in (*turned, parts[2])], 1)
    return back, quantize(back) if fp8 else None


@by_kernel
def swiglu(joined: torch.Tensor, fp8: bool) -> tuple[torch.Tensor, Quantized | None]:
    """SiLU of the gate times the up projection (arXiv:2002.05202). (T, 2 I) -> (T, I)"""
    gate, up = joined.chunk(2, 1)
    product = torch.nn.functional.silu(gate.float()).to(joined.dtype) * up
    return product, quantize(product) if fp8 else None


@by_kernel
def swiglu_backward(
    joined: torch.Tensor, gradient: torch.Tensor, fp8: bool
) -> tuple[torch.Tensor, torch.Tensor, Quantized | None]:
    """Gradient of `joined` (T, 2 I), and the product once more (T, I); both inputs are written over."""
    gate, up = (part.float() for part in joined.chunk(2, 1))
    sigmoid = torch.sigmoid(gate)
    active = gate * sigmoid
    of_gate = gradient.float() * up * sigmoid * (1 + gate * (1 - sigmoid))
    back = torch.cat([of_gate, gradient.float() * active], 1).to(joined.dtype)
    return back, active.to(joined.dtype) * up.to(joined.dtype), quantize(back) if fp8 else None


@by_kernel
def quantize(rows: torch.Tensor) -> Quantized:
    """Each row in e4m3 with a scale of its own, so that its largest value is e4m3's. (T, K) -> (T, K), (T, 1)"""
    wide = rows.float()
    scale = wide.abs().amax(-1, keepdim=True).clamp(min=1e-12) / FP8_MOST
    return (wide / scale).clamp(-FP8_MOST, FP8_MOST).to(FP8), scale


@by_kernel
def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of each target (N,) in float32; `logits` (N, V) become its gradient."""
    wide = logits.float()
    most = wide.amax(-1, keepdim=True)
    shares = (wide - most).exp()
    total = shares.sum(-1, keepdim=True)
    chosen = targets[:, None]
    losses = (total.log() + most - wide.gather(1, chosen))[:, 0]
    shares.div_(total)
    logits.copy_(shares.scatter_add_(1, chosen, torch.full_like(total, -1.0)))
    return losses
