"""The arithmetic between the matrix products, written out in torch: what runs on a CPU, and what the kernels must equal.

On CUDA with Triton each function hands over to `kernels`. Sums, means and exponentials are taken in float32 whatever the
inputs are in, as transformers does. Functions that say so write over what they were given: it is not wanted again.
`fp8` asks for the rows in e4m3 as well.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., Any])
Quantized = tuple[torch.Tensor, torch.Tensor]
"""Rows in e4m3 (T, K) and their scales (T, 1) in float32."""

Angles = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines (T, R) of the first R of each head's D dimensions; the others are not rotated."""

FP8 = torch.float8_e4m3fn
FP8_MOST = 448.0
"""Largest finite value of e4m3 (OCP 8-bit floating point, 1.0)."""

GELU_SLOPE, GELU_CUBE = 2 * math.sqrt(2 / math.pi), 0.044715
"""GELU's approximation x (1 + tanh u) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3) (arXiv:1606.08415), is x sigmoid(2 u)."""


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
class Norm:
    """Root mean square normalisation over the last dimension (arXiv:1910.07467), rounded as transformers rounds it."""

    weight: torch.Tensor
    """(H,)"""

    eps: float
    one_more: bool = False
    """Gemma's: times 1 + weight in float32, then rounded. Llama's is rounded, then times weight."""

    def of(self, hidden: torch.Tensor) -> torch.Tensor:
        """`hidden` (..., H), normalised."""
        wide = hidden.float()
        normal = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        if self.one_more:
            return (normal * (1 + self.weight.float())).to(hidden.dtype)
        return self.weight * normal.to(hidden.dtype)

    def back(self, hidden: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient of `hidden`, in float32, from that of its normalisation."""
        wide, weight = hidden.float(), self.weight.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        through, normal = gradient.float() * (1 + weight if self.one_more else weight), wide * scale
        return scale * (through - normal * (through * normal).mean(-1, keepdim=True))


@dataclass(frozen=True)
class Heads:
    """How a row of queries, keys and values is divided."""

    queries: int
    keys: int
    norms: tuple[Norm, Norm] | None = None
    """Of each query and each key head (Qwen3, arXiv:2505.09388; Gemma 3, arXiv:2503.19786)."""

    def split(self, joined: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Views of queries, keys and values (T, heads, D) of (T, (queries + 2 keys) D)."""
        numbers = [self.queries, self.keys, self.keys]
        return torch.split(joined.view(len(joined), sum(numbers), -1), numbers, 1)


@by_kernel
def rms_norm(
    hidden: torch.Tensor, norm: Norm, fp8: bool, add: torch.Tensor | None = None
) -> tuple[torch.Tensor, Quantized | None]:
    """`hidden`, normalised. `add`, where given, is added to `hidden` first, in place."""
    if add is not None:
        hidden += add
    normal = norm.of(hidden)
    return normal, quantize(normal) if fp8 else None


@by_kernel
def rms_norm_backward(
    hidden: torch.Tensor, norm: Norm, gradient: torch.Tensor, past: torch.Tensor, fp8: bool
) -> tuple[torch.Tensor, torch.Tensor, Quantized | None]:
    """Gradient of `hidden`, which also went `past` the normalisation, and the normalised states. (T, H) each

    `gradient` is written over.
    """
    back = (past.float() + norm.back(hidden, gradient)).to(hidden.dtype)
    return back, norm.of(hidden), quantize(back) if fp8 else None


@by_kernel
def outer_norm(hidden: torch.Tensor, norm: Norm, onto: torch.Tensor) -> torch.Tensor:
    """The sum of `onto` and `hidden`, normalised. (T, H) each"""
    return onto + norm.of(hidden)


@by_kernel
def outer_norm_backward(
    hidden: torch.Tensor, norm: Norm, gradient: torch.Tensor, fp8: bool
) -> tuple[torch.Tensor, Quantized | None]:
    """Gradient of `hidden` (T, H); that of `onto` is `gradient`, which stays as it is."""
    back = norm.back(hidden, gradient).to(hidden.dtype)
    return back, quantize(back) if fp8 else None


def _rotate(heads: torch.Tensor, angles: Angles) -> torch.Tensor:
    """Rotary embedding (arXiv:2104.09864) in transformers' half-and-half layout. (T, heads, D)"""
    cos, sin = (part[:, None] for part in angles)
    turned, rest = heads.tensor_split([cos.shape[-1]], -1)
    first, second = turned.chunk(2, -1)
    return torch.cat([turned * cos + torch.cat([-second, first], -1) * sin, rest], -1)


def _rotate_back(heads: torch.Tensor, angles: Angles) -> torch.Tensor:
    """The transpose of `_rotate`."""
    cos, sin = (part[:, None] for part in angles)
    turned, rest = heads.tensor_split([cos.shape[-1]], -1)
    first, second = (turned * sin).chunk(2, -1)
    return torch.cat([turned * cos + torch.cat([second, -first], -1), rest], -1)


def rope(joined: torch.Tensor, angles: Angles | None, heads: Heads) -> torch.Tensor:
    """`joined` (T, (queries + 2 keys) D) with queries and keys rotated; written over, unless heads are normalised.

    Without `angles` nothing is done: no architecture normalises heads that it does not rotate.
    """
    if angles is None:
        return joined
    out = joined if heads.norms is None else torch.empty_like(joined)
    if has_kernels(joined.device.type):
        from medslm.models.fast import rotation

        rotation.rope(joined, out, angles, heads)
        return out
    queries, keys, values = heads.split(joined)
    if heads.norms is not None:
        queries, keys = (norm.of(part) for part, norm in zip((queries, keys), heads.norms))
    parts = [_rotate(queries, angles), _rotate(keys, angles), values]
    return out.copy_(torch.cat([part.flatten(1) for part in parts], 1))


def rope_backward(
    parts: tuple[torch.Tensor, ...], joined: torch.Tensor | None, angles: Angles | None, heads: Heads, fp8: bool
) -> tuple[torch.Tensor, Quantized | None]:
    """Gradient of what `rope` was given, from those of queries, keys and values; `joined`, if heads are normalised."""
    if angles is not None and has_kernels(parts[0].device.type):
        from medslm.models.fast import rotation

        return rotation.rope_backward(parts, joined, angles, heads, fp8)
    turned = [part if angles is None else _rotate_back(part, angles) for part in parts[:2]]
    if heads.norms is not None and joined is not None:
        before = heads.split(joined)
        turned = [norm.back(part, gradient).to(part.dtype) for part, norm, gradient in zip(before, heads.norms, turned)]
    back = torch.cat([part.flatten(1) for part in (*turned, parts[2])], 1)
    return back, quantize(back) if fp8 else None


def _inner(gate: torch.Tensor, gelu: bool) -> tuple[torch.Tensor, torch.Tensor | float]:
    """What SiLU(x) = x sigmoid(x), or GELU(x), takes the sigmoid of, and the derivative of that."""
    if not gelu:
        return gate, 1.0
    square = GELU_CUBE * gate * gate
    return GELU_SLOPE * gate * (1 + square), GELU_SLOPE * (1 + 3 * square)


@by_kernel
def gated(joined: torch.Tensor, gelu: bool, fp8: bool) -> tuple[torch.Tensor, Quantized | None]:
    """SiLU, or GELU, of the gate times the up projection (arXiv:2002.05202). (T, 2 I) -> (T, I)"""
    gate, up = joined.chunk(2, 1)
    inner, _ = _inner(gate.float(), gelu)
    product = (gate.float() * torch.sigmoid(inner)).to(joined.dtype) * up
    return product, quantize(product) if fp8 else None


@by_kernel
def gated_backward(
    joined: torch.Tensor, gradient: torch.Tensor, gelu: bool, fp8: bool
) -> tuple[torch.Tensor, torch.Tensor, Quantized | None]:
    """Gradient of `joined` (T, 2 I), and the product once more (T, I); both inputs are written over."""
    gate, up = (part.float() for part in joined.chunk(2, 1))
    inner, slope = _inner(gate, gelu)
    sigmoid = torch.sigmoid(inner)
    active = gate * sigmoid
    of_gate = gradient.float() * up * sigmoid * (1 + gate * slope * (1 - sigmoid))
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
