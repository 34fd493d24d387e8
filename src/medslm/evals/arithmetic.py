"""The arithmetic of an evaluation: that of training, but letters are compared in float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # importing this module imports no torch
    import torch

ROWS = 16_384  # of the vocabulary that are widened to float32 at a time
AT_ONCE = 2**24  # logits that are normalised at a time


@contextlib.contextmanager
def arithmetic(model: Any, exact: bool) -> Iterator[None]:
    """No gradients, and an adapter in float32 multiplies in the base's 16-bit type; `exact`: the head in float32."""
    import torch

    half = model.dtype in (torch.bfloat16, torch.float16)
    with (
        torch.no_grad(),
        torch.autocast(model.device.type, dtype=model.dtype if half else None, enabled=half),
        _head(model, exact),
    ):
        yield


def follow(logits: torch.Tensor, rows: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each target, and whether it is the likeliest of its row: (N, V), (M,), (M,) -> (M,), (M,).

    Of tokens that are equally likely, the first counts as the likeliest.
    """
    import torch

    totals, best = [], []
    some = max(1, AT_ONCE // logits.shape[-1])
    for start in range(0, len(logits), some):
        wide = logits[start : start + some].float()
        totals.append(wide.logsumexp(-1))
        best.append(wide.argmax(-1))
    chosen = logits[rows, targets].float() - torch.cat(totals)[rows]
    return chosen, torch.cat(best)[rows] == targets


@contextlib.contextmanager
def _head(model: Any, exact: bool) -> Iterator[None]:
    """Let the output layer multiply in float32 (`exact`), and in any case see contiguous rows.

    In bfloat16 two logits near 16 differ by 0.125 or not at all: of 160 questions put to SmolLM2-135M, 35 had two
    likeliest letters, and the first would have won. Sums over several tokens have no ties, and gain nothing.
    And torch multiplies a slice of hidden states with a *frozen* weight by copying the weight once a row (`should_fold`
    in aten/src/ATen/native/LinearAlgebra.cpp): on a CPU 5 of 6 seconds for a batch of 32.
    """
    import torch
    from torch.nn.functional import linear

    head = model.get_output_embeddings()

    def contiguous(module: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (inputs[0].contiguous(),)

    def widened(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        with torch.autocast(inputs[0].device.type, enabled=False):
            parts = [linear(inputs[0].float(), rows.float()) for rows in module.weight.split(ROWS)]
        logits = torch.cat(parts, dim=-1)
        return logits if module.bias is None else logits + module.bias.float()

    hooks = [head.register_forward_pre_hook(contiguous)]
    if exact and isinstance(head, torch.nn.Linear) and head.weight.is_floating_point():
        hooks.append(head.register_forward_hook(widened))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
