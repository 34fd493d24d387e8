"""The loss of a pass: the output head multiplied with the positions that carry loss, a slice of them at a time.

Neither the logits of all positions nor those of all slices are ever held: each slice gives its part of the loss and of the
gradient at once, as in Liger (arXiv:2410.10989) and Cut Cross-Entropy (arXiv:2411.09009).
"""

from __future__ import annotations

from typing import Any

import torch

from medslm.models.fast.elementwise import cross_entropy

SLICE = 2**28
"""Logits of a slice: 0.5 GiB in 16 bits. Fewer than 2,048 positions of a 128k vocabulary leave an H100 half idle."""


class LinearCrossEntropy(torch.autograd.Function):
    """Sum of the negative log-likelihood in nats. The head is frozen."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: Any, targets: torch.Tensor) -> torch.Tensor:
        """(N, H), (V, H), (V,) or none, (N,) -> ()"""
        positions = max(256, SLICE // weight.shape[0] // 256 * 256)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden) if hidden.requires_grad else None
        for start in range(0, len(hidden), positions):
            part = slice(start, start + positions)
            logits = torch.nn.functional.linear(hidden[part], weight, bias)
            total += cross_entropy(logits, targets[part]).sum()
            if gradient is not None:
                torch.mm(logits, weight, out=gradient[part])  # which they are by now
            del logits  # or two slices would be held
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *of_total: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient of `hidden`, times that of the loss."""
        (gradient,) = ctx.saved_tensors
        return gradient * of_total[0].to(gradient.dtype), None, None, None
