"""LoRA linears that read the same input, as one product forwards and one backwards, gradients by hand.

    y = x W^T + s (x A^T) B^T        (arXiv:2106.09685)

W holds the frozen weights one below the other, A the adapters' first matrices one below the other, and B the second ones,
each times its scale, as blocks on a diagonal. So the scale costs nothing, both sums are epilogues of matrix products, and
x is read once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from medslm.models.fast.elementwise import Quantized
from medslm.models.fast.frozen import Fp8, freeze, rows


@dataclass(frozen=True)
class Adapters:
    """The LoRA matrices of a group in the type of the arithmetic."""

    a: torch.Tensor
    """(R, K) with R the sum of the ranks."""

    b: torch.Tensor
    """(N, R), scaled, zero off its blocks."""


@dataclass(frozen=True)
class Adapter:
    """One linear's LoRA, and its place among those of its group."""

    a: torch.nn.Parameter
    """(r, K)"""

    b: torch.nn.Parameter
    """(N, r)"""

    scale: float
    """lora_alpha / r, or as PEFT has it."""

    dropout: Any
    rows: slice
    columns: slice
    layer: Any
    """PEFT's layer, which may be switched off."""


@dataclass(frozen=True)
class Low:
    """What a group's forward pass leaves for its backward pass."""

    states: torch.Tensor
    """x A^T. (T, R)"""

    seed: int | None
    """Of the dropout on x."""

    adapters: Adapters


class Group:
    """Linears of one input, some or all of which carry a LoRA adapter."""

    def __init__(self, owner: torch.nn.Module, names: Sequence[str], dtype: torch.dtype, fp8: bool) -> None:
        layers = [getattr(owner, name) for name in names]
        linears = [getattr(layer, "base_layer", layer) for layer in layers]
        self._rows, self._dtype = sum(rows(linear) for linear in linears), dtype
        self._adapted = _place(layers, [rows(linear) for linear in linears])
        self.frozen = freeze(linears, dtype, fp8)
        if isinstance(self.frozen, Fp8):
            for name, layer, part in zip(names, layers, self.frozen.parts):
                adapted = hasattr(layer, "base_layer")
                setattr(layer if adapted else owner, "base_layer" if adapted else name, part)
        self.fp8 = self.frozen.fp8
        """Whether the inputs of `forward` and `backward` are wanted in e4m3 as well."""
        self.parameters = [matrix for one in self._adapted for matrix in (one.a, one.b)]
        """A and B of each adapter, in the order of the linears."""

    def _joined(self) -> Adapters | None:
        """The adapters as they are now. Never kept from pass to pass: fused optimisers change matrices unseen."""
        if not self._adapted or self._adapted[0].layer.disable_adapters:
            return None
        a = torch.cat([one.a.detach() for one in self._adapted]).to(self._dtype)
        b = a.new_zeros(self._rows, len(a))
        for one in self._adapted:
            torch.mul(one.b.detach(), one.scale, out=b[one.rows, one.columns])
        return Adapters(a, b)

    def forward(
        self, x: torch.Tensor, low: Low | None = None, rows: Quantized | None = None
    ) -> tuple[torch.Tensor, Low | None]:
        """y, and what the backward pass wants again; `low` is from an earlier time, `rows` is x in e4m3.

        (T, K) -> (T, N)
        """
        y = self.frozen.times(x, rows)
        if low is None and (adapters := self._joined()) is not None:
            seed = self._seed()
            low = Low(self._dropped(x, seed) @ adapters.a.t(), seed, adapters)
        return (y if low is None else y.addmm_(low.states, low.adapters.b.t())), low

    def backward(
        self, gradient: torch.Tensor, low: Low | None, rows: Quantized | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The gradients of x (T, K) and of x A^T (T, R), from that of y (T, N), which `rows` is in e4m3."""
        of_x = self.frozen.back(gradient, rows)
        if low is None:
            return of_x, None
        of_low = gradient @ low.adapters.b
        if low.seed is None:
            return of_x.addmm_(of_low, low.adapters.a), of_low
        return of_x.add_(self._dropped(of_low @ low.adapters.a, low.seed)), of_low

    def gradients(
        self, gradient: torch.Tensor, low: Low | None, of_low: torch.Tensor | None, x: torch.Tensor
    ) -> list[torch.Tensor]:
        """The gradients of `parameters`, in float32: A's is (x A^T)'s gradient transposed times x, B's dy^T (x A^T)."""
        if low is None or of_low is None:
            return []
        of_a, of_b = _wide(of_low.t(), self._dropped(x, low.seed)), _wide(gradient.t(), low.states)
        found = [(of_a[one.columns], of_b[one.rows, one.columns] * one.scale) for one in self._adapted]
        return [matrix for pair in found for matrix in pair]

    def _seed(self) -> int | None:
        """Of this pass's dropout, from torch's own generator; none without dropout."""
        first = self._adapted[0].dropout
        return int(torch.randint(2**62, ())) if first.training and getattr(first, "p", 0.0) else None

    def _dropped(self, x: torch.Tensor, seed: int | None) -> torch.Tensor:
        """Dropout on the adapters' input, the same for one seed; all linears of a group share it."""
        if seed is None:
            return x
        keep = 1 - self._adapted[0].dropout.p
        kept = torch.empty_like(x).bernoulli_(keep, generator=torch.Generator(x.device).manual_seed(seed))
        return kept.mul_(x).div_(keep)


def adapter_of(layer: Any) -> str | None:
    """The name of the one LoRA adapter of a PEFT layer; none for a plain layer."""
    if not isinstance(getattr(layer, "lora_A", None), torch.nn.ModuleDict):
        return None
    return next((name for name in layer.active_adapters if name in layer.lora_A), None)


def _place(layers: Sequence[Any], sizes: Sequence[int]) -> list[Adapter]:
    """The adapters of PEFT layers with these numbers of outputs, and where they stand in the joined matrices."""
    found: list[Adapter] = []
    row = column = 0
    for layer, size in zip(layers, sizes):
        if name := adapter_of(layer):
            a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
            places = slice(row, row + size), slice(column, column + len(a))
            found.append(Adapter(a, b, float(layer.scaling[name]), layer.lora_dropout[name], *places, layer))
            column += len(a)
        row += size
    return found


def _wide(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The product in float32, which on CUDA is how the sums are kept anyway."""
    if left.device.type == "cuda" and left.dtype != torch.float32:
        return torch.mm(left, right, out_dtype=torch.float32)
    return (left @ right).float()
