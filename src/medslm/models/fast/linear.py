"""A single LoRA linear as one function, for architectures whose whole layers are not written by hand."""

from __future__ import annotations

from typing import Any

import torch

from medslm.models.fast.group import Group


class Linear:
    """Takes the place of a PEFT linear's `forward` where its input asks for gradients in a packed pass."""

    def __init__(self, owner: torch.nn.Module, name: str, dtype: torch.dtype, fp8: bool) -> None:
        self._own = getattr(owner, name).forward
        self._group = Group(owner, (name,), dtype, fp8)

    def __call__(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """As the layer's own `forward`. (..., K) -> (..., N)"""
        if not torch.is_grad_enabled():
            own: torch.Tensor = self._own(x, *args, **kwargs)
            return own
        flat = x.flatten(0, -2)
        done: torch.Tensor = _Function.apply(flat, self._group, *self._group.parameters)  # type: ignore[no-untyped-call]
        return done.view(*x.shape[:-1], done.shape[1])


class _Function(torch.autograd.Function):
    """`Group.forward` and `Group.backward` as one node of autograd's graph."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, group: Group, *parameters: torch.Tensor) -> torch.Tensor:
        """(T, K) -> (T, N)"""
        y, low = group.forward(x)
        ctx.group, ctx.low = group, low
        ctx.save_for_backward(x)
        return y

    @staticmethod
    def backward(ctx: Any, *of_y: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of `x` and of the LoRA matrices."""
        (x,) = ctx.saved_tensors
        gradient = of_y[0].contiguous()
        of_x, of_low = ctx.group.backward(gradient, ctx.low)
        return (of_x, None, *ctx.group.gradients(gradient, ctx.low, of_low, x))
