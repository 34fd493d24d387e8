"""Frozen weights of linear layers that read the same input, side by side as one matrix: dense, 4-bit or FP8.

`times` is the layer (x W^T + b) and `back` its transpose (dy W); nothing here has a gradient of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch.nn import functional

from medslm.models import nf4
from medslm.models.fast.elementwise import Quantized, quantize


class Frozen(Protocol):
    """A frozen matrix W of N rows and K columns."""

    fp8: bool
    """Whether inputs and gradients are wanted in e4m3 as well; where they are not given so, they are quantised."""

    def times(self, x: torch.Tensor, rows: Quantized | None = None) -> torch.Tensor:
        """x W^T + b; `rows` is x in e4m3. (T, K) -> (T, N)"""

    def back(self, gradient: torch.Tensor, rows: Quantized | None = None) -> torch.Tensor:
        """dy W. (T, N) -> (T, K)"""


def _joined(biases: Sequence[torch.Tensor | None], sizes: Sequence[int]) -> torch.Tensor | None:
    known = [bias for bias in biases if bias is not None]
    if not known:
        return None
    parts = [known[0].new_zeros(size) if bias is None else bias for bias, size in zip(biases, sizes)]
    return torch.cat([part.detach() for part in parts])


def _matrix(linear: Any) -> torch.Tensor:
    """The weight (N, K); GPT-2's layers hold it the other way round."""
    weight: torch.Tensor = linear.weight.detach()
    return weight.t() if type(linear).__name__ == "Conv1D" else weight


def rows(linear: Any) -> int:
    """N, the number of outputs."""
    return int(linear.nf if type(linear).__name__ == "Conv1D" else linear.out_features)


class Dense:
    """Weights as they are stored; the layers' own parameters become views of the joined matrix, so none is held twice."""

    def __init__(self, linears: Sequence[Any]) -> None:
        self.weight = _matrix(linears[0])
        if len(linears) > 1:
            self.weight = torch.cat([_matrix(linear) for linear in linears])
            for part, linear in zip(torch.split(self.weight, [rows(linear) for linear in linears]), linears):
                linear.weight.data = part
        self.bias = _joined([linear.bias for linear in linears], [rows(linear) for linear in linears])

    fp8 = False

    def times(self, x: torch.Tensor, rows: Quantized | None = None) -> torch.Tensor:
        """x W^T + b."""
        return functional.linear(x, self.weight, self.bias)

    def back(self, gradient: torch.Tensor, rows: Quantized | None = None) -> torch.Tensor:
        """dy W."""
        return gradient @ self.weight


class Nf4(Dense):
    """4-bit NormalFloat weights of bitsandbytes, made dense for one product at a time (arXiv:2305.14314)."""

    def __init__(self, linears: Sequence[Any], dtype: torch.dtype) -> None:
        self._linears, self._dtype = list(linears), dtype
        self.bias = _joined([linear.bias for linear in linears], [rows(linear) for linear in linears])

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """The dense matrix, made anew. (N, K)"""
        sizes = [rows(linear) for linear in self._linears]
        first = self._linears[0]
        whole = torch.empty(sum(sizes), first.in_features, dtype=self._dtype, device=first.weight.device)
        for part, linear in zip(torch.split(whole, sizes), self._linears):
            nf4.unpack(linear, part)
        return whole


class Fp8:
    """Weights in e4m3 twice: rows scaled for the layer, columns scaled for its transpose. Hopper, Ada and newer GPUs.

    Inputs and gradients are quantised row by row when they come. On a CPU the same numbers are multiplied in float32,
    which serves to check them.
    """

    def __init__(self, linears: Sequence[Any]) -> None:
        sizes = [rows(linear) for linear in linears]
        whole = torch.cat([_matrix(linear) for linear in linears])
        self.forward, self.backward = Scaled.of(whole), Scaled.of(whole.t().contiguous())
        self.bias = _joined([linear.bias for linear in linears], sizes)
        self.parts = [
            Fp8Linear(Scaled(values, scales), linear)
            for values, scales, linear in zip(
                torch.split(self.forward.values, sizes), torch.split(self.forward.scales, sizes), linears
            )
        ]

    fp8 = True

    def times(self, x: torch.Tensor, rows: Quantized | None = None) -> torch.Tensor:
        """x W^T + b."""
        return self.forward.times(rows or quantize(x), x.dtype, self.bias)

    def back(self, gradient: torch.Tensor, rows: Quantized | None = None) -> torch.Tensor:
        """dy W."""
        return self.backward.times(rows or quantize(gradient), gradient.dtype, None)


class Scaled:
    """A matrix in e4m3 with a scale to each of its rows."""

    def __init__(self, values: torch.Tensor, scales: torch.Tensor) -> None:
        self.values, self.scales = values, scales

    @classmethod
    def of(cls, matrix: torch.Tensor) -> Scaled:
        """`matrix` (N, K), quantised."""
        return cls(*quantize(matrix))

    def times(self, rows: Quantized, dtype: torch.dtype, bias: torch.Tensor | None) -> torch.Tensor:
        """x M^T + b with x quantised row by row. (T, K) x (N, K) -> (T, N)"""
        values, scales = rows
        if values.device.type != "cuda":
            wide = (values.float() * scales) @ (self.values.float() * self.scales).t()
            return (wide if bias is None else wide + bias).to(dtype)
        return torch._scaled_mm(
            values,
            self.values.t(),
            scale_a=scales,
            scale_b=self.scales.t(),
            bias=bias,
            out_dtype=dtype,
            use_fast_accum=True,
        )


class Fp8Linear(torch.nn.Module):
    """A linear layer whose frozen weight is in e4m3; it takes the place of the one that `linear` was, for inference."""

    def __init__(self, weight: Scaled, linear: Any) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.values.shape
        self.bias = linear.bias
        self._weight = weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x W^T + b. (..., K) -> (..., N)"""
        if x.requires_grad and torch.is_grad_enabled():
            raise RuntimeError("an FP8 layer has no gradient outside of medslm.models.fast")
        flat = x.flatten(0, -2)
        return self._weight.times(quantize(flat), x.dtype, self.bias).view(*x.shape[:-1], self.out_features)


def freeze(linears: Sequence[Any], dtype: torch.dtype, fp8: bool) -> Frozen:
    """The frozen matrix of `linears`, whichever way their weights are kept."""
    if nf4.quantized(linears[0]):
        return Nf4(linears, dtype)
    return Fp8(linears) if fp8 else Dense(linears)
