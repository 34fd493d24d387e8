"""The arithmetic of an evaluation: that of training, but letters are compared in float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # importing this module imports no torch
    import torch

ROWS = 16_384  # of the vocabulary that are widened to float32 at a time
AT_ONCE = 2**24  # logits that are normalised at a time
LOGITS = {"cpu": 2**26, "cuda": 2**28}  # that are held at a time


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


def followed(
    model: Any, inputs: dict[str, Any], places: torch.Tensor | None, rows: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """`follow` behind the tokens at `places` (N,) of the flattened `inputs`; at all of them if none are given.

    No more logits are held at a time than `LOGITS` says: the model's body runs once, and its head slice by slice.
    """
    import torch

    vocabulary: int = model.get_output_embeddings().weight.shape[0]
    most = max(1, LOGITS.get(model.device.type, LOGITS["cpu"]) // vocabulary)
    if places is not None and len(places) <= most and len(inputs["input_ids"]) == 1:
        return follow(model(**inputs, logits_to_keep=places).logits[0], rows, targets)
    chosen, greedy = torch.empty(len(targets), device=targets.device), torch.empty_like(targets, dtype=torch.bool)
    for start, logits in _slices(model, inputs, places, most):
        (here,) = torch.where((rows >= start) & (rows < start + len(logits)))
        chosen[here], greedy[here] = follow(logits, rows[here] - start, targets[here])
    return chosen, greedy


def _slices(
    model: Any, inputs: dict[str, Any], places: torch.Tensor | None, most: int
) -> Iterator[tuple[int, torch.Tensor]]:
    """The first place and the logits (n, V) of up to `most` places at a time.

    The model itself is called for each slice, its body giving what it has computed before: some models scale or cap
    what comes from their head.
    """
    from medslm.models.attention import unwrapped

    body = unwrapped(model).base_model
    outputs: list[Any] = []
    hook = body.register_forward_hook(lambda module, given, output: outputs.append(output))
    try:
        model(**inputs, logits_to_keep=1)
    finally:
        hook.remove()
    hidden = outputs[0].last_hidden_state.flatten(0, 1)  # (T, H)
    hidden = hidden if places is None else hidden[places]
    for start in range(0, len(hidden), most):
        computed = type(outputs[0])(last_hidden_state=hidden[None, start : start + most])
        body.forward = lambda *given, computed=computed, **options: computed
        try:
            logits = model(input_ids=inputs["input_ids"][:1, :1], use_cache=False).logits[0]
        finally:
            del body.forward
        yield start, logits


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
